"""The client code of commands that call a running Rollbook over HTTP."""
