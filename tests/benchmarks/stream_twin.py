"""The simplest live stream: INSERT, answer, and push to the clients of this process."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

import psycopg
import uvicorn
import uvloop
from fastapi import Body, FastAPI, Request, WebSocket, WebSocketDisconnect
from psycopg_pool import AsyncConnectionPool

_TABLE = (
    "CREATE TABLE twin (id bigserial PRIMARY KEY, name text NOT NULL, email text NOT NULL UNIQUE)"
)
_INSERT = "INSERT INTO twin (name, email) VALUES (%s, %s) RETURNING id"


def create_app(database_url: str) -> FastAPI:
    """POST /v1/users and WS /v1/stream, with one queue in memory for each client."""
    queues: set[asyncio.Queue[str]] = set()
    pool = AsyncConnectionPool(
        database_url, min_size=4, max_size=16, open=False, kwargs={"autocommit": True}
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await connection.execute(_TABLE)
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)

    async def register(request: Request, user: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        async with pool.connection() as connection:
            row = await (
                await connection.execute(_INSERT, (user["name"], user["email"]))
            ).fetchone()
        assert row is not None
        event = {"correlationid": request.headers["x-request-id"], "data": user}
        for queue in queues:
            queue.put_nowait(json.dumps({"kind": "events", "events": [event]}))
        return {"id": row[0], **user}

    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        queue = asyncio.Queue[str]()

        async def send() -> None:
            await websocket.send_text('{"kind": "ready"}')
            while True:
                await websocket.send_text(await queue.get())

        queues.add(queue)
        sending = asyncio.create_task(send())
        try:
            # Only a receiver learns that the client has gone, or that the server shuts down.
            with suppress(WebSocketDisconnect):
                while True:
                    await websocket.receive_text()
        finally:
            sending.cancel()
            queues.discard(queue)

    app.add_api_route("/v1/users", register, methods=["POST"], status_code=201)
    app.add_api_websocket_route("/v1/stream", stream)
    return app


def main(database_url: str) -> None:
    """Serves on a free port, and prints the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(create_app(database_url), log_level="error"))
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve([listener]))


if __name__ == "__main__":
    main(sys.argv[1])
