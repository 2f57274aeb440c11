"""How the tests themselves run: several workers, and a second try."""
