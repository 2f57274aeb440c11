"""Which Rollbook a command talks to: a URL, a data directory or a database."""
