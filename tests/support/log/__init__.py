"""Logs for tests: drafts, callers, histories, and what must hold of a log."""
