"""In-memory doubles of ports; the contract suites run against them, too."""
