"""Tests of application/log."""
