"""Adapters that find the principal of a token or ticket."""
