"""`rollbook keys`."""
