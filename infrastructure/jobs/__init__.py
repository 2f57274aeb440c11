"""Jobs and the worker that runs them."""
