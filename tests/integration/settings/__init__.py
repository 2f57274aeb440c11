"""Settings, logging and the administrator's token."""
