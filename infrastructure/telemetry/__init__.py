"""What is measured, kept in memory and written as Prometheus and OpenMetrics have it."""
