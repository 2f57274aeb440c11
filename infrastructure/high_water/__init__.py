"""High-water marks of logs outside their database: in Redis, and in a file."""
