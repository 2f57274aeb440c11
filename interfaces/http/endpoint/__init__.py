"""How a route is declared and answered: authentication, commands, queries and errors."""
