"""Real servers for tests, and what tests do to them."""
