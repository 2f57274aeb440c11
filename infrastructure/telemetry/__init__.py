"""Metrics, kept in memory and written in the Prometheus and OpenMetrics formats."""
