"""Metrics of a process and its servers."""
