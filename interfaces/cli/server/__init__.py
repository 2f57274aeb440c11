"""The server processes: `rollbook up`, its supervisor, and each role."""
