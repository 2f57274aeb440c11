"""Tests of the live stream over a real server."""
