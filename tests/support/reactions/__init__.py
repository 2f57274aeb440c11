"""Reactions for tests."""
