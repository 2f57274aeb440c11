"""Webhooks: requests over the network, and deliveries from the log."""
