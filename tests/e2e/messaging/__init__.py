"""RabbitMQ and the processes around it, as a whole."""
