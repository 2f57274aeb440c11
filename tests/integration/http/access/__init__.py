"""Tests of access over HTTP: permissions, and the events that say who read what."""
