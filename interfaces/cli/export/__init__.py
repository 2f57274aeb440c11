"""`rollbook export`."""
