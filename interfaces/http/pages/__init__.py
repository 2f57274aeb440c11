"""Pages and scripts that are served as they are."""
