"""Tests of application/projector."""
