"""Who changed what and when: audit items, their search, and the origin of each field."""
