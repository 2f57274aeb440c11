"""What can be read: one pure fold from events to a view for each projection."""
