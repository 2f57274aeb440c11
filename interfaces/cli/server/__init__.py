"""Processes that serve: `rollbook up`, its supervisor, and each role."""
