"""Support for tests of exports: request an export, and read its file."""

import csv
import io
import json
from typing import Any, Final

from httpx2 import AsyncClient, Response

from tests.support.http.directory import Directory

Json = dict[str, Any]
USERS: Final[Json] = {"what": "users", "format": "ndjson"}
AUDIT: Final[Json] = {"what": "audit", "format": "ndjson"}


def problem_of(answer: Response) -> tuple[int, str]:
    """Status and type of a problem."""
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def pointers(answer: Response) -> list[str]:
    assert problem_of(answer) == (422, "invalid-request"), answer.text
    return sorted(error["pointer"] for error in answer.json()["errors"])


async def request_export(client: AsyncClient, body: Json = USERS, **headers: str) -> Json:
    answer = await client.post("/v1/exports", json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def export_file(directory: Directory, client: AsyncClient, body: Json = USERS) -> Response:
    """The answer that holds the file of a new export."""
    job = await request_export(client, body)
    await directory.jobs.run_queued()
    return await client.get(f"/v1/jobs/{job['id']}/result")


def json_lines(answer: Response) -> list[Json]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def csv_rows(answer: Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))
