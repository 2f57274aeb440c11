"""What can be asked and what happens next: commands, queries, followers and the ports they need."""
