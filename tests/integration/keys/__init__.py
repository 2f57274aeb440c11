"""Tests of keys on real servers."""
