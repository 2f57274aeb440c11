"""`rollbook reactions`."""
