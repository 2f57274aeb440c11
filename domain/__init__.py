"""What is true: events, state, decisions, values and errors; no I/O, clock or randomness."""
