"""Tests of views on real servers."""
