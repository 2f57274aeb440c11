"""What programs of others need in tests: Node.js, npm packages, and a connection that breaks."""
