"""Processes of their own, for tests that freeze or kill them."""
