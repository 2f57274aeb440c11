"""Callers of every kind, and what the contract lets each of them do."""
