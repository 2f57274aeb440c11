"""Reactions in Postgres: their runs, the checkpoint, and what operators see and change."""
