"""Tests of limits: of requests, and of what takes the most time within one request."""
