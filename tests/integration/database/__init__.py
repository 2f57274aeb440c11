"""Tests of the pool of connections on a real server."""
