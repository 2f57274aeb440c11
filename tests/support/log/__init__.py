"""Logs for tests: drafts, callers, histories, and the invariants of a log."""
