"""The server in front of the application: bytes, requests and connections."""
