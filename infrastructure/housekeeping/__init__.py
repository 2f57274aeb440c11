"""What is done to the database itself, now and then."""
