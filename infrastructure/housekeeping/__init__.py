"""Maintenance of the database: expired rows, and dead rows of tables with personal data."""
