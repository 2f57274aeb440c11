"""Where projectors write: views with their checkpoint, and how partitions are shared."""
