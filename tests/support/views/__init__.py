"""Views for tests: directories, rebuilds, and the fold that the views must equal."""
