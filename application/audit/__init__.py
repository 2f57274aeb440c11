"""The audit: audit items, their search, and blame for each field."""
