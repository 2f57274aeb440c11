"""The tests: one folder for each layer, and support code that they share."""
