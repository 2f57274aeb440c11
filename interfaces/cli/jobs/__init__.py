"""`rollbook jobs`."""
