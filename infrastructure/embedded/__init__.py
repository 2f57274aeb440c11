"""Servers that Rollbook brings along and runs itself, from binaries it finds on the machine."""
