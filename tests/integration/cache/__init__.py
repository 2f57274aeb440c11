"""Tests of cache on real servers."""
