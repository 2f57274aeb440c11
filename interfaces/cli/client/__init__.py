"""What commands share that call a running Rollbook over HTTP."""
