"""Webhooks: signed deliveries of events to the URLs of other parties."""
