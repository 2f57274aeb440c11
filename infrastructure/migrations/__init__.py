"""All DDL except the tables of generations."""

from infrastructure.migrations.migrate import MigrationBusy, MigrationFailed, migrate

__all__ = ["MigrationBusy", "MigrationFailed", "migrate"]
