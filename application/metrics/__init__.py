"""What a process measures of itself and of its servers."""
