"""The tests, one folder for each ring."""
