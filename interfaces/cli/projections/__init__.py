"""`rollbook projections`."""
