"""What leaves the database once its time is over."""
