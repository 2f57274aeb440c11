"""Separate processes, for tests that freeze or kill them."""
