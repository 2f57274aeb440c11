"""The job `key-rotation`: rewraps all keys under one master key while the service runs.

Its first step makes that key the current one: the log then refuses new keys under any other, so
the number of keys to rewrap only falls, whatever list other processes have. A run stores no state between its batches, so an interrupted run starts again.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from msgspec import Struct
from structlog import get_logger

from application.jobs.model import JobFailed, JobKind, JobRun
from application.keys.ports import MasterKeyList, SealBroken, UnknownMasterKey
from application.log.event_log import StreamKey

KEY_ROTATION: Final = "key-rotation"
BATCH_KEYS: Final = 500
# A pass leaves out the keys that are locked at that moment; a session that holds a lock for longer
# than all passes take leaves the rotation incomplete.
_PASSES: Final = 30
_PAUSE_SECONDS: Final = 1.0
_BEFORE_ALL: Final = UUID(int=0)

log = get_logger(__name__)


class WrappedKey(Struct, frozen=True):
    """The key of a person, or the index key, whose subject is the id of the log."""

    subject: UUID
    key: StreamKey


class Rewrapped(Struct, frozen=True):
    subject: UUID
    old: StreamKey
    new: StreamKey


class KeyStore(Protocol):
    """All wrapped keys of a log, including the index key. Opened in a block that raises `Unavailable`."""

    async def counts(self) -> Mapping[str, int]:
        """The number of keys that each master key wraps, by its id."""
        ...

    async def wrapped(
        self, by: Collection[str], *, after: UUID, limit: int
    ) -> Sequence[WrappedKey]:
        """Up to `limit` keys that these master keys wrap, in the order of subjects, after `after`."""
        ...

    async def make_current(self, master_id: str) -> None:
        """Refuse new keys under any other master key from now on."""
        ...

    async def replace(self, keys: Sequence[Rewrapped]) -> int:
        """Replace each old key that is still stored. Returns the number of replaced keys.

        A new key that is not under the current master key replaces none. A destroyed key stays destroyed; a key that is locked for its destruction is skipped
        without waiting.
        """
        ...


class Rotation(Struct, kw_only=True):
    """The result of a rotation. It is `complete` when no key is under a master key other than `to`;
    only then may the others be removed from the list.
    """

    to: str
    rewrapped: int = 0
    remaining: int = 0

    def result(self) -> dict[str, Any]:
        return {**msgspec.to_builtins(self), "complete": not self.remaining}


def key_rotation(
    open_store: Callable[[], AbstractAsyncContextManager[KeyStore]],
    masters: MasterKeyList,
    *,
    pause: float = _PAUSE_SECONDS,
) -> JobKind:
    """The job kind. Its argument `to` is a master key id; the default is the newest."""

    async def run(run: JobRun) -> dict[str, Any]:
        to = run.arguments.get("to", masters.ids[0])
        if to not in masters.ids:
            raise JobFailed(
                f"the worker's ROLLBOOK_MASTER_KEY does not list the key {to}: "
                "start it with the new list first"
            )
        async with open_store() as store:
            return await _rotate(store, _Work(store, masters, Rotation(to=to), run), pause)

    return JobKind(name=KEY_ROTATION, run=run)


async def _rotate(store: KeyStore, work: "_Work", pause: float) -> dict[str, Any]:
    rotation = work.rotation
    await work.count_remaining()
    await store.make_current(rotation.to)
    await work.count_remaining()
    for _ in range(_PASSES):
        if not rotation.remaining:
            break
        await work.rewrap()
        await work.count_remaining()
        if rotation.remaining and rotation.remaining == work.broken:
            raise JobFailed(
                f"{_keys(work.broken)} cannot be opened with the master key that they name; "
                f"all others are under {rotation.to}"
            )
        if rotation.remaining:
            await asyncio.sleep(pause)
    log.info("keys_rotated", to=rotation.to, keys=rotation.rewrapped, remaining=rotation.remaining)
    return rotation.result()


class _Work:
    """The state of a run. `broken` counts the keys that do not open; they are left unchanged."""

    def __init__(
        self, store: KeyStore, masters: MasterKeyList, rotation: Rotation, run: JobRun
    ) -> None:
        self.rotation = rotation
        self.broken = 0
        self._store = store
        self._masters = masters
        self._run = run
        self._others: Sequence[str] = ()

    async def count_remaining(self) -> None:
        """Count the remaining keys. Raises `JobFailed` if the list lacks a master key of one."""
        counts = await self._store.counts()
        others = {name: count for name, count in counts.items() if name != self.rotation.to}
        unlisted = others.keys() - set(self._masters.ids)
        if unlisted:
            raise JobFailed(
                "; ".join(
                    f"the worker's ROLLBOOK_MASTER_KEY does not list the key {name}, "
                    f"which {_keys(others[name])} cannot be opened without"
                    for name in sorted(unlisted)
                )
            )
        self._others = sorted(others)
        self.rotation.remaining = sum(others.values())
        await self._report()

    async def rewrap(self) -> None:
        """One pass over the keys; it leaves out keys that are locked."""
        if not self._others:
            return
        self.broken = 0
        after = _BEFORE_ALL
        while batch := await self._store.wrapped(self._others, after=after, limit=BATCH_KEYS):
            replaced = await self._store.replace(list(self._rewrapped(batch)))
            self.rotation.rewrapped += replaced
            self.rotation.remaining -= replaced
            await self._report()
            after = batch[-1].subject

    def _rewrapped(self, batch: Iterable[WrappedKey]) -> Iterable[Rewrapped]:
        for wrapped in batch:
            try:
                new = self._masters.rewrap(wrapped.key, wrapped.subject, self.rotation.to)
            except (SealBroken, UnknownMasterKey):
                self.broken += 1
            else:
                yield Rewrapped(wrapped.subject, wrapped.key, new)

    async def _report(self) -> None:
        done = self.rotation.rewrapped
        await self._run.report(done, done + max(self.rotation.remaining, 0))


def _keys(count: int) -> str:
    return "1 key" if count == 1 else f"{count} keys"
