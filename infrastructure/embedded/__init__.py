"""Servers that Rollbook starts itself."""
