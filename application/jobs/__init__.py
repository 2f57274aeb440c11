"""Jobs, for work that takes longer than a request: their runs, the worker and maintenance."""
