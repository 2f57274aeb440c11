"""Queries to the read models, and the documents of their answers."""
