"""Work that takes longer than a request: jobs, their runs, the worker and its maintenance."""
