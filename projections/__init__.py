"""Projections: one pure fold from events to a view each."""
