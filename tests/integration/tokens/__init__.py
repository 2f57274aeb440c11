"""Tokens on real servers."""
