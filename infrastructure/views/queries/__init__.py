"""Queries on the views: users, lists, statistics and the progress of projections."""
