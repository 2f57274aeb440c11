"""Tests of erasure on real servers."""
