"""End-to-end tests: whole Rollbook processes."""
