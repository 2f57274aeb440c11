"""Tests of application/keys."""
