"""The composition root: one file for each role, which opens all that the role needs."""
