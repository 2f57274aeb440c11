"""Tests of the session that leads on a real server."""
