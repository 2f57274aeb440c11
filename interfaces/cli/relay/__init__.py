"""`rollbook relay`."""
