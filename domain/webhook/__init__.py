"""The webhook: its events, commands, state, decisions and claims."""
