"""The receipts of administrative commands."""
