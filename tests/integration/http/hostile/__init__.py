"""Hostile values in every parameter, header and body of the API."""
