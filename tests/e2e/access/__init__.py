"""Callers at running processes."""
