"""All DDL except the tables of generations."""

from infrastructure.migrations.migrate import MigrationBusy, migrate

__all__ = ["MigrationBusy", "migrate"]
