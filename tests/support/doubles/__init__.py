"""Ports in memory: the doubles that contract suites hold to the same promises."""
