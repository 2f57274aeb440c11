"""The projectors' side: writes views with their checkpoint, and balances partitions."""
