"""Configuration of Schemathesis that the OpenAPI document of Rollbook cannot hold."""
