"""The OIDC issuer: its keys, the JWTs that it signs, and signing in through it."""
