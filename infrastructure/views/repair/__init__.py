"""Work on single streams of a view: parked events, repairs and erasures."""
