"""The mailer against a real mail server."""
