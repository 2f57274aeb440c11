"""Generations of a read model: building, comparing, switching and dropping them."""
