"""Webhooks: rules for targets, the state of an endpoint, and the queue of deliveries."""
