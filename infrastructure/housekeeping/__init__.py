"""Maintenance of the database itself."""
