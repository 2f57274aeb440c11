"""Benchmarks: each measures one subject against a twin; see README.md."""
