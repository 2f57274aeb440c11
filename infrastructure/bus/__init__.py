"""The message bus: RabbitMQ, and its double in memory."""
