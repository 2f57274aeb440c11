"""Comparing the views with a fold of the log, and repairing what differs."""
