"""The cache on Redis: copies of view documents, each with the position that it shows."""
