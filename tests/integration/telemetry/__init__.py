"""Tests of telemetry on real servers."""
