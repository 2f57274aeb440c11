"""Tests of doorbell on real servers."""
