"""`rollbook import`: people of an LDIF file."""
