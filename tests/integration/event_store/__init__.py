"""Tests of event store on real servers."""
