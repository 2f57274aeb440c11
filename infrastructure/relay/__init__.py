"""The relay's checkpoint, and the events that it rejected."""
