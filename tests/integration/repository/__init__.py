"""The files of the repository itself: imports, locks and compose."""
