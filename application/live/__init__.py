"""Events as they are recorded: the tail of the log, notifications and tickets."""
