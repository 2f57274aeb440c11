"""The user: its events, commands, state, decisions and claims."""
