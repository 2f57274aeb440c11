"""Real servers for tests: start, stop, freeze, kill and inspect them."""
