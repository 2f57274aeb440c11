"""Key rotations on a real log, and processes that use the log at the same time."""

import json
import os
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import Sequence
from typing import Any, Final, Self
from uuid import UUID

from msgspec import Struct
from uuid_utils.compat import uuid7

from application.jobs.model import Job
from application.keys.rotation import KEY_ROTATION, key_rotation
from infrastructure.database import Database
from infrastructure.keys import MasterKeys
from infrastructure.keys.store import key_stores, open_key_store
from tests.support.doubles.jobs import InMemoryJobs
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.servers.rollbook import ROOT
from tests.support.views.directory import execute

OLD: Final = MASTER_KEYS
NEW: Final = "YW5vdGhlciBvbmU6IGEgbWFzdGVyIGtleSBvZiAzMiA="
OLD_ID, NEW_ID = MasterKeys.parse(OLD).newest, MasterKeys.parse(NEW).newest
OLD_FIRST: Final = f"{OLD},{NEW}"
NEW_FIRST: Final = f"{NEW},{OLD}"


async def run_rotation(url: str, *, masters: str = NEW_FIRST) -> Job:
    """Rotate the keys of a database with these master keys; the finished job."""
    async with Database.open(url) as database:
        kind = key_rotation(key_stores(database), MasterKeys.parse(masters), pause=0.1)
        jobs = InMemoryJobs(uuid7, kind)
        job = await jobs.submit(KEY_ROTATION, {}, actor="test")
        await jobs.run_queued()
    ended = await jobs.job(job.id)
    assert ended is not None
    return ended


def result(job: Job) -> dict[str, Any]:
    assert job.state == "succeeded", job.error
    assert job.result is not None
    return job.result


async def insert_keys(url: str, count: int, masters: str = OLD) -> dict[UUID, bytes]:
    """Insert keys of this many people without events; the plain keys."""
    keys = {uuid7(): os.urandom(32) for _ in range(count)}
    wrapped = [MasterKeys.parse(masters).wrap(key, subject) for subject, key in keys.items()]
    await execute(
        url,
        "INSERT INTO subject_keys (tenant, subject, master_id, wrapped) "
        "SELECT 'main', * FROM unnest(%s::uuid[], %s::text[], %s::bytea[])",
        list(keys),
        [key.master_id for key in wrapped],
        [key.wrapped for key in wrapped],
    )
    return keys


async def opened_keys(url: str, masters: str = NEW) -> dict[UUID, bytes]:
    """The keys of all people, unwrapped with these master keys only."""
    async with open_key_store(url) as store:
        found = await store.wrapped(list(await store.counts()), after=UUID(int=0), limit=10**6)
    log = (await execute(url, "SELECT id FROM log"))[0][0]
    keys = MasterKeys.parse(masters)
    return {
        each.subject: keys.unwrap(each.key, each.subject) for each in found if each.subject != log
    }


class People(Struct):
    """A process that registers people and erases others."""

    process: Process

    @classmethod
    async def start(cls, url: str, masters: str) -> Self:
        """Start the process; it has opened the log and waits for `begin`."""
        process = await create_subprocess_exec(
            *(sys.executable, "-P", "-m", "tests.support.processes.people", url, masters),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        people = cls(process)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        return people

    def begin(self, to_erase: Sequence[UUID] = ()) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([str(person) for person in to_erase]).encode() + b"\n")

    async def end(self) -> tuple[set[UUID], set[UUID]]:
        """Stop the process; the ids of the people that it registered and erased."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        output, _ = await self.process.communicate()
        assert self.process.returncode == 0
        ids = json.loads(output)
        return {UUID(one) for one in ids["registered"]}, {UUID(one) for one in ids["erased"]}
