"""Views for tests: directories, rebuilds, and the fold that they must equal."""
