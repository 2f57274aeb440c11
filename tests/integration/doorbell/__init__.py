"""Tests of the doorbells on real servers."""
