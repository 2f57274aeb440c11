"""The event log: reading, following and searching it, and the envelope of an event."""
