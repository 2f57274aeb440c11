"""Tests of application/users."""
