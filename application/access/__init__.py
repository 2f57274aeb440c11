"""Access: the callers, what each may do, and what is recorded about it."""
