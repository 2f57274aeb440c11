"""The log in Postgres: writer, append function, serializer, feeds."""
