"""Single streams of a view: parked events, repairs and erasures."""
