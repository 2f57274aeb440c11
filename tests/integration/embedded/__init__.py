"""Tests of embedded on real servers."""
