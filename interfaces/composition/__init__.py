"""The composition root: one file per role, which opens all that the role needs."""
