"""The relay's checkpoint, and what it set aside."""
