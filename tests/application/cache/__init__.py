"""Tests of application/cache."""
