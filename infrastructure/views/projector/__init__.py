"""The projectors' side: writes views with their checkpoint, and finds what to follow."""
