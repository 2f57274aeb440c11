"""The shared base of the view adapters: tables, statements, rows and errors."""
