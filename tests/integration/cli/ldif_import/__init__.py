"""The import of one person after the other into a Rollbook in memory."""
