"""Reactions: what starts them, and what becomes of a run."""
