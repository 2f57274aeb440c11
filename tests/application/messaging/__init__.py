"""Tests of application/messaging."""
