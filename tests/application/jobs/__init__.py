"""Tests of application/jobs."""
