"""All DDL but the tables of a generation."""

from infrastructure.migrations.migrate import MigrationBusy, migrate

__all__ = ["MigrationBusy", "migrate"]
