"""Jobs, exports, rotations and relays for tests."""
