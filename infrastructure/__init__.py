"""The adapters: one folder per port."""
