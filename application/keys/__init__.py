"""Data keys and master keys: the ports and the rotation."""
