"""Reactions on a real server: the follower, the runs and the workers."""
