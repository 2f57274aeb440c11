"""The twin of the command side: a table of users, a unique address, one INSERT per request."""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

import uvicorn
from email_validator import validate_email
from fastapi import FastAPI, HTTPException
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from uuid_utils.compat import uuid7

_TABLE = """
CREATE TABLE IF NOT EXISTS twin_users (
    id uuid PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE, role text NOT NULL,
    attributes jsonb NOT NULL, created_at timestamptz NOT NULL DEFAULT now())"""
_INSERT = """
INSERT INTO twin_users (id, name, email, role, attributes) VALUES (%s, %s, %s, %s, %s)
RETURNING created_at"""


def _address(value: str) -> str:
    return validate_email(value, check_deliverability=False).normalized


class NewUser(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=200)]
    email: Annotated[str, AfterValidator(_address)]
    role: Annotated[str, Field(pattern="^[a-z][a-z0-9_-]{0,31}$")] = "member"
    attributes: dict[str, Any] = {}


def twin(database_url: str) -> FastAPI:
    """An application like the one in the tutorial of the framework."""
    pool = AsyncConnectionPool[AsyncConnection[TupleRow]](
        database_url, min_size=16, max_size=16, open=False, kwargs={"autocommit": True}
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with pool, pool.connection() as connection:
            await connection.execute(_TABLE)
            yield

    app = FastAPI(lifespan=lifespan, telemetry={"auto_configure": False})

    @app.post("/v1/users", status_code=201)
    async def register(user: NewUser) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        user_id: UUID = uuid7()
        values = (user_id, user.name, user.email.casefold(), user.role, Jsonb(user.attributes))
        try:
            async with pool.connection() as connection:
                row = await (await connection.execute(_INSERT, values)).fetchone()
        except UniqueViolation:
            raise HTTPException(409, "the address is taken") from None
        assert row is not None
        return {"id": user_id, **user.model_dump(), "created_at": row[0]}

    return app


if __name__ == "__main__":
    uvicorn.run(
        twin(sys.argv[1]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        access_log=False,
        log_level="error",
    )
