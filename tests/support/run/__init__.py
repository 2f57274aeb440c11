"""Plug-ins of the test run: the workers, the order of the tests and the retry of failed ones."""
