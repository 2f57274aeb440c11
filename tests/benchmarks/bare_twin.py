"""The twin of cached reads: a bare FastAPI route that answers with fixed bytes.

Run as `python -m tests.benchmarks.bare_twin BODY PORT`.
"""

import sys

import uvicorn
from fastapi import FastAPI, Response


def twin(body: bytes) -> FastAPI:
    """An application with one route, which always answers with `body`."""
    app = FastAPI(telemetry={"auto_configure": False})

    @app.get("/v1/users/{user_id}")
    async def read(user_id: str) -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response(body, media_type="application/json")

    return app


if __name__ == "__main__":
    uvicorn.run(
        twin(sys.argv[1].encode()),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        access_log=False,
        log_level="error",
    )
