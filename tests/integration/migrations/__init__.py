"""Tests of migrations on real servers."""
