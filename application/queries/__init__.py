"""What can be asked of the read models, and the documents that answer."""
