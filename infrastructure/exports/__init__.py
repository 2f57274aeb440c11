"""Exports: the requests, and the rows that they contain."""
