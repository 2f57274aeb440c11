"""Webhooks of a running Rollbook."""
