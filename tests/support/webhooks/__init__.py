"""Receivers of webhooks and hostile targets."""
