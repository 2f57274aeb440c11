"""Tests of messaging on real servers."""
