"""Tests of what the tests rely on."""
