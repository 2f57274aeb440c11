"""Tests of the places that keep high-water marks."""
