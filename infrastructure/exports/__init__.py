"""Exports: what was asked for, and which rows they show."""
