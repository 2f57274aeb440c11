"""Copies of a database that are put back: the state of an earlier moment replaces the present one."""

import asyncio
from uuid import uuid4

from psycopg import sql

from tests.support.servers.postgres import drop_database, execute, name_of, with_database
from tests.support.servers.postgres_backends import terminate_all

_FORGET_THE_PLACE = """
UPDATE log SET database_oid = (SELECT oid::bigint FROM pg_database
                               WHERE datname = current_database())"""


async def copied(url: str) -> str:
    """Copy the database as it is now; the URL of the copy."""
    await terminate_all(url)
    copy = with_database(url, f"{name_of(url)}_{uuid4().hex[:6]}")
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(_name(copy), _name(url))
    await asyncio.to_thread(execute, _server(url), statement)
    return copy


async def put_back(copy: str, url: str, *, in_place: bool = False) -> None:
    """Drop the database with all its sessions; from now on its copy has its name.

    `in_place`: as after a copy of the server's files, nothing in the server shows it.
    """
    await terminate_all(copy)
    await asyncio.to_thread(drop_database, _server(url), url)
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}").format(_name(copy), _name(url))
    await asyncio.to_thread(execute, _server(url), rename)
    if in_place:
        await asyncio.to_thread(execute, url, sql.SQL(_FORGET_THE_PLACE).format())


def _server(url: str) -> str:
    return with_database(url, "postgres")


def _name(url: str) -> sql.Identifier:
    return sql.Identifier(name_of(url))
