"""Deletes expired rows from the database."""
