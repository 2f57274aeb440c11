"""Limits across processes: sums and windows in Redis, by the library `limits`."""
