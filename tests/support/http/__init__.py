"""Callers of the API, and directories that answer them."""
