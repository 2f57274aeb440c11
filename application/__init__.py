"""Commands, queries, followers and jobs, and the ports they need."""
