"""Views in Postgres."""
