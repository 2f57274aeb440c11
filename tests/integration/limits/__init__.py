"""Tests of the limits of a request: what takes the most time within them."""
