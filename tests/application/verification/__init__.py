"""Tests of application/verification."""
