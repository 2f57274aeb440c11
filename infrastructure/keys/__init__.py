"""Master keys, data keys and what they seal."""
