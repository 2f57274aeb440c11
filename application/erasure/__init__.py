"""Erasing a person: the command, the coverage and the receipt."""
