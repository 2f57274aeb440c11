"""`rollbook export`: requests an export from a running Rollbook, and downloads the file."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import httpx2
import typer

from interfaces.cli.client.calls import refuse_problem, send_admin_command, wait_for_job
from interfaces.cli.client.client import Remote, Reply
from interfaces.cli.client.watch_job import Job, JobReport, JsonJobReport, TerminalJobReport
from interfaces.cli.errors import CommandFailed
from interfaces.cli.target.connection import find_rollbook

_EXPORTS: Final = "/v1/exports"

Json = dict[str, Any]


class NotWritten(CommandFailed):
    """The file cannot be written."""


class IncompleteDownload(CommandFailed):
    """Only a part of the file arrived."""


def export_file(data_directory: Path, request: Json, output: Path | None, *, json: bool) -> int:
    """The exit code, always 0: the file is complete, or an error is raised.

    Raises what `find_rollbook` does, and `CommandFailed`.
    """
    try:
        job = asyncio.run(_export(data_directory, request, output, json=json))
    except KeyboardInterrupt:
        raise CommandFailed("stopped; the export itself continues at the server") from None
    if output is not None and not json:
        typer.echo(f"{(job.result or {}).get('rows')} rows: {output}", err=True)
    return 0


async def _export(data_directory: Path, request: Json, output: Path | None, *, json: bool) -> Job:
    # Check that the file can be written before the export is requested.
    with _writing(output) as file:
        async with find_rollbook(data_directory).client() as client:
            remote = Remote(client)
            # Requested once, also if the request is sent again.
            reply = await send_admin_command(remote, _EXPORTS, request)
            job = await wait_for_job(remote, reply.read(Job), _report(json))
            if job.state != "succeeded":
                reason = f": {job.error}" if job.error else ""
                raise CommandFailed(f"the export {job.id} is {job.state}{reason}")
            await _fetch(client, f"/v1/jobs/{job.id}/result", file)
    return job


def _report(json: bool) -> JobReport:
    if json:
        return JsonJobReport()
    return TerminalJobReport("export") if sys.stderr.isatty() else JobReport()


async def _fetch(client: httpx2.AsyncClient, path: str, file: BinaryIO) -> None:
    try:
        async with client.stream("GET", path) as answer:
            if answer.status_code != 200:
                content = await answer.aread()
                refuse_problem(Reply(answer.status_code, answer.headers, content))
            async for piece in answer.aiter_bytes():
                await asyncio.to_thread(file.write, piece)
    except httpx2.TransportError as error:
        again = f"for 24 hours it can be downloaded again at {path}"
        raise IncompleteDownload(
            f"the connection failed ({type(error).__name__}); {again}"
        ) from None
    except OSError as error:
        raise NotWritten(f"the file cannot be written: {error.strerror}") from None


@contextmanager
def _writing(output: Path | None) -> Generator[BinaryIO]:
    """Standard output, or a private file that appears once it is complete."""
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
