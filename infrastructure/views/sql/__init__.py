"""What all work on views shares: tables, statements, rows and errors."""
