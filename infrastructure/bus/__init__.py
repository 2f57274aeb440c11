"""The message bus: RabbitMQ."""
