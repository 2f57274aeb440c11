"""Erasing a person: the command, what must be clean, and the receipt."""
