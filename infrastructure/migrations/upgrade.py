"""Runs the missing migrations with Alembic."""

from collections.abc import Callable
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

DIRECTORY = Path(__file__).parent


def upgrade(connect: Callable[[], psycopg.Connection]) -> None:
    """Upgrade the database of these connections to the newest schema."""
    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", str(DIRECTORY).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
