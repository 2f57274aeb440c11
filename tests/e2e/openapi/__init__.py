"""Programs of others that read the OpenAPI document: Schemathesis, and generators of clients."""
