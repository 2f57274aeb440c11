"""Tests of application/live."""
