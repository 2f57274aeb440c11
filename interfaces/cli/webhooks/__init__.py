"""`rollbook webhooks`."""
