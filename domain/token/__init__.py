"""The token: its events, commands, state, decisions, claims and secret."""
