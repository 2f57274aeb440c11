"""Making and managing read models: the projector, rebuilds, generations and parked streams."""
