"""JWTs of an OIDC issuer and signing in through it, with a real issuer."""
