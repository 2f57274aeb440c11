"""Tests of encryption keys on real servers."""
