"""Exports of users and of the audit: requests, their job, rows and file formats."""
