"""Finds the Rollbook for a command: by URL, data directory or database."""
