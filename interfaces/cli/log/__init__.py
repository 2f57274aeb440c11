"""The commands under `rollbook log`."""
