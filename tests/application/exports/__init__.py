"""Tests of application/exports."""
