"""Support for tests of the command line."""
