"""Tests of the event store on real servers."""
