"""The HTTP application over a directory in memory."""
