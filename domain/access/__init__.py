"""Access to personal data: the events that say which actor read the data of many people."""
