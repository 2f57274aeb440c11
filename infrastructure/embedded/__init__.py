"""Embedded servers: Rollbook runs them itself, from binaries that it finds on the machine."""
