"""What Schemathesis is told about Rollbook beyond its OpenAPI document."""
