"""Clients of the API for tests, and directories that answer them."""
