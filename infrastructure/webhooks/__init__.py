"""Webhooks: outgoing requests, and the records of deliveries in Postgres."""
