"""The log in Postgres: writer, append function, mapper, feed."""
