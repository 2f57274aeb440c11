"""Tests of erasures on real servers."""
