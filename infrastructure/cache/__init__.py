"""The cache on Redis: documents that follow their views, and are never staler than they say."""
