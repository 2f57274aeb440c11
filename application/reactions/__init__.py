"""Reactions: when this happens, do that. What they are, their registry, and the engine."""
