"""How it is done: one folder for each port's adapters."""
