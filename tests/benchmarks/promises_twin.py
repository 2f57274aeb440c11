"""The twin that gives the same guarantees in the usual way, row by row in one transaction.

It stores a user with a unique address, an audit entry, an outbox message, and the answer for a
retry with the same Idempotency-Key: four INSERTs and a COMMIT. It checks a token, and distinguishes
a conflict from a retry. All four tables hold personal data in plain text; no code here sends or
orders the messages.
"""

import hashlib
import hmac
import json
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import uvicorn
from fastapi import FastAPI, Header, HTTPException, Request, Response
from psycopg import AsyncConnection
from psycopg.errors import UniqueViolation
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from uuid_utils.compat import uuid7

from tests.benchmarks.crud_twin import NewUser
from tests.benchmarks.processes import TOKEN

_TABLES: Final = (
    """
CREATE TABLE IF NOT EXISTS promised_users (
    id uuid PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE, role text NOT NULL,
    attributes jsonb NOT NULL, version bigint NOT NULL, created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL)""",
    """
CREATE TABLE IF NOT EXISTS promised_audit (
    position bigserial PRIMARY KEY, user_id uuid NOT NULL, version bigint NOT NULL,
    type text NOT NULL, actor text NOT NULL, request_id text NOT NULL, changes jsonb NOT NULL,
    recorded_at timestamptz NOT NULL, UNIQUE (user_id, version))""",
    "CREATE INDEX IF NOT EXISTS promised_audit_actor ON promised_audit (actor, position)",
    "CREATE INDEX IF NOT EXISTS promised_audit_request ON promised_audit (request_id, position)",
    """
CREATE TABLE IF NOT EXISTS promised_outbox (
    position bigserial PRIMARY KEY, event_id uuid NOT NULL, type text NOT NULL,
    payload jsonb NOT NULL, recorded_at timestamptz NOT NULL)""",
    """
CREATE TABLE IF NOT EXISTS promised_receipts (
    actor text NOT NULL, key text NOT NULL, request bytea NOT NULL, status smallint NOT NULL,
    body bytea NOT NULL, recorded_at timestamptz NOT NULL, PRIMARY KEY (actor, key))""",
)
# The receipt comes first: a retry waits here for the first request, and is no conflict.
_RECEIPT: Final = "INSERT INTO promised_receipts VALUES (%s, %s, %s, 201, %s, %s)"
_USER: Final = "INSERT INTO promised_users VALUES (%s, %s, %s, %s, %s, 1, %s, %s)"
_AUDIT: Final = """
INSERT INTO promised_audit (user_id, version, type, actor, request_id, changes, recorded_at)
VALUES (%s, 1, 'user.registered', %s, %s, %s, %s)"""
_OUTBOX: Final = """
INSERT INTO promised_outbox (event_id, type, payload, recorded_at)
VALUES (%s, 'user.registered', %s, %s)"""
_FIRST: Final = "SELECT request, status, body FROM promised_receipts WHERE actor = %s AND key = %s"

Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]
Statement = tuple[str, Sequence[Any]]


def twin(database_url: str) -> FastAPI:
    """A careful implementation of the same guarantees, without a framework for events."""
    pool = Pool(database_url, min_size=16, max_size=16, open=False, kwargs={"autocommit": True})

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with pool, pool.connection() as connection:
            for table in _TABLES:
                await connection.execute(table.encode())
            yield

    app = FastAPI(lifespan=lifespan, telemetry={"auto_configure": False})

    @app.post("/v1/users", status_code=201)
    async def register(  # pyright: ignore[reportUnusedFunction]
        user: NewUser,
        request: Request,
        authorization: Annotated[str, Header()],
        idempotency_key: Annotated[str, Header(max_length=255)],
        x_request_id: Annotated[str | None, Header(max_length=128)] = None,
    ) -> Response:
        if not hmac.compare_digest(authorization, f"Bearer {TOKEN}"):
            raise HTTPException(401)
        actor, body = "token:admin", await request.body()
        digest = hashlib.sha256(b"POST /v1/users\n" + body).digest()
        request_id = x_request_id or str(uuid7())
        answer, statements = _registration(user, actor, idempotency_key, digest, request_id)
        try:
            async with pool.connection() as connection, connection.transaction():
                for statement, values in statements:
                    await connection.execute(statement.encode(), values)
        except UniqueViolation:
            return await _replayed(pool, actor, idempotency_key, digest)
        return Response(answer, 201, media_type="application/json")

    return app


def _registration(
    user: NewUser, actor: str, key: str, digest: bytes, request_id: str
) -> tuple[bytes, Sequence[Statement]]:
    """The body of the answer, and the statements that record the registration."""
    user_id: UUID = uuid7()
    now = datetime.now(UTC)
    shown = {
        "id": str(user_id),
        **user.model_dump(),
        "version": 1,
        "created_at": now.isoformat(),
        "updated_at": now.isoformat(),
    }
    answer = json.dumps(shown, ensure_ascii=False).encode()
    attributes = Jsonb(user.attributes)
    values = (user_id, user.name, user.email.casefold(), user.role, attributes, now, now)
    return answer, (
        (_RECEIPT, (actor, key, digest, answer, now)),
        (_USER, values),
        (_AUDIT, (user_id, actor, request_id, Jsonb(user.model_dump()), now)),
        (_OUTBOX, (uuid7(), Jsonb(shown), now)),
    )


async def _replayed(pool: Pool, actor: str, key: str, digest: bytes) -> Response:
    """The first answer to this key; without one, the conflict was the address."""
    async with pool.connection() as connection:
        row = await (await connection.execute(_FIRST, (actor, key))).fetchone()
    if row is None:
        raise HTTPException(409, "the address is taken")
    if row[0] != digest:
        raise HTTPException(422, "the key was used with another request")
    return Response(row[2], row[1], {"Idempotency-Replayed": "true"}, "application/json")


if __name__ == "__main__":
    uvicorn.run(
        twin(sys.argv[1]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        access_log=False,
        log_level="error",
    )
