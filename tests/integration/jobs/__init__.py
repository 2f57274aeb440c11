"""Tests of jobs on real servers."""
