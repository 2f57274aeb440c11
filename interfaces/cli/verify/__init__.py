"""`rollbook verify`."""
