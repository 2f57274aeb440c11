"""Tests of exports on real servers."""
