"""Mail: templates, and the adapter that hands mails to an SMTP server."""
