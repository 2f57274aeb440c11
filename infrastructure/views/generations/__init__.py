"""Builds of a read model: making, comparing, switching and dropping them."""
