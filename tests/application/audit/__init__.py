"""Tests of application/audit."""
