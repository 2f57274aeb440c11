"""Read models: the projector, rebuilds, generations, and retry or skip of parked streams."""
