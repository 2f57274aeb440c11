"""The import of LDIF people, one after the other, into an in-memory Rollbook."""
