"""Events for other services: the message bus and the relay that publishes to it."""
