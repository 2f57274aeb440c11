"""`rollbook tokens`."""
