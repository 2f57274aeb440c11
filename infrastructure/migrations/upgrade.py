"""Runs the missing migrations with Alembic."""

from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

DIRECTORY = Path(__file__).parent


def upgrade(session: psycopg.Connection, to: str = "head") -> None:
    """Upgrade the database of a session, each migration in a transaction of its own.

    The session stays open, in autocommit mode. Raises psycopg's errors.
    """
    engine = create_engine("postgresql+psycopg://", creator=lambda: session, poolclass=StaticPool)
    session.autocommit = False
    try:
        with engine.connect() as connection:
            config = Config()
            config.set_main_option("script_location", str(DIRECTORY).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, to)
    except DBAPIError as error:
        # SQLAlchemy's own message has the whole statement.
        raise (error.orig or error) from None
    finally:
        if not session.closed:
            session.rollback()
            session.autocommit = True
