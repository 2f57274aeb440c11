"""Live streams: the tail of the log, notifications and tickets."""
