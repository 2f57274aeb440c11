"""`rollbook export`: has a running Rollbook export users or audit items, and fetches the file."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from uuid import uuid4

import httpx2
import msgspec
import typer

from interfaces.cli.client.calls import Refused, watched
from interfaces.cli.client.client import Remote, Reply, Stopped
from interfaces.cli.client.watch_job import Job, JsonJobReport, SilentJobReport, TerminalJobReport
from interfaces.cli.errors import CommandFailed
from interfaces.cli.target.connection import find_rollbook

_EXPORTS: Final = "/v1/exports"

Json = dict[str, Any]


class NotWritten(CommandFailed):
    """The file cannot be written."""


class BrokenOff(CommandFailed):
    """The file came only in part."""


def export_file(data_directory: Path, order: Json, output: Path | None, *, json: bool) -> int:
    """The exit code, which is 0: the file is there as a whole, or an error is raised and it is not.

    Raises what `find_rollbook` does, and `CommandFailed`.
    """
    try:
        job = asyncio.run(_export(data_directory, order, output, json=json))
    except KeyboardInterrupt:
        raise CommandFailed("stopped; the export itself goes on at the server") from None
    if output is not None and not json:
        typer.echo(f"{(job.result or {}).get('rows')} rows: {output}", err=True)
    return 0


async def _export(data_directory: Path, order: Json, output: Path | None, *, json: bool) -> Job:
    # Whether the file can be written is known before anything is asked for.
    with _writing(output) as file:
        async with find_rollbook(data_directory).client() as client:
            remote = Remote(client)
            job = await watched(remote, await _asked(remote, order), _report(json))
            if job.state != "succeeded":
                reason = f": {job.error}" if job.error else ""
                raise CommandFailed(f"the export {job.id} is {job.state}{reason}")
            await _fetch(client, f"/v1/jobs/{job.id}/result", file)
    return job


def _report(json: bool) -> JsonJobReport | TerminalJobReport | SilentJobReport:
    if json:
        return JsonJobReport()
    return TerminalJobReport("export") if sys.stderr.isatty() else SilentJobReport()


async def _asked(remote: Remote, order: Json) -> Job:
    """Once, however often the request has to be sent."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": f"export-{uuid4()}"}
    try:
        reply = await remote.command("POST", _EXPORTS, msgspec.json.encode(order), headers)
    except Stopped as reason:
        raise Refused(str(reason)) from None
    return _content(reply).read(Job)


async def _fetch(client: httpx2.AsyncClient, path: str, file: BinaryIO) -> None:
    try:
        async with client.stream("GET", path) as answer:
            if answer.status_code != 200:
                content = await answer.aread()
                _content(Reply(answer.status_code, answer.headers, content))
            async for piece in answer.aiter_bytes():
                await asyncio.to_thread(file.write, piece)
    except httpx2.TransportError as error:
        again = f"for 24 hours it can be had again at {path}"
        raise BrokenOff(f"the connection failed ({type(error).__name__}); {again}") from None
    except OSError as error:
        raise NotWritten(f"the file cannot be written: {error.strerror}") from None


def _content(reply: Reply) -> Reply:
    if reply.status >= 400:
        raise Refused(reply.reason)
    return reply


@contextmanager
def _writing(output: Path | None) -> Generator[BinaryIO]:
    """The standard output, or a file that nobody else may read, in place once it is complete."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    except OSError as error:
        raise NotWritten(f"{output} cannot be written: {error.strerror}") from None
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield cast("BinaryIO", file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(output)
    except OSError as error:
        raise NotWritten(f"{output} cannot be written: {error.strerror}") from None
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
