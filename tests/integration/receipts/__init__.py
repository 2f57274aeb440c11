"""The receipts of administrative commands over Postgres."""
