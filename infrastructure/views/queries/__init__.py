"""Where queries read: users, lists, statistics and the progress of projections."""
