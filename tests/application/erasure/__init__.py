"""Tests of application/erasure."""
