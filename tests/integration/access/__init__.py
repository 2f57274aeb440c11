"""Tests of access on real servers."""
