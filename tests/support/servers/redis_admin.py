"""An admin client for a test's own Redis: inspects it, deletes keys and causes faults."""

import random
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, cast

from redis import Redis


class RedisAdmin:
    """A separate connection, not the tested one. A context manager that closes it."""

    def __init__(self, url: str) -> None:
        self._client = cast("Any", Redis).from_url(url)

    def contents(self, pattern: str = "*") -> Mapping[str, bytes]:
        """The string values whose keys match."""
        strings = (key for key in self.keys(pattern) if self._client.type(key) == b"string")
        return {key: self._client.get(key) for key in strings}

    def fields(self, key: str) -> Mapping[bytes, bytes]:
        """The fields of a hash."""
        return self._client.hgetall(key)

    def put_field(self, key: str, field: bytes, value: bytes) -> None:
        self._client.hset(key, field, value)

    def expire(self, key: str, seconds: int) -> None:
        self._client.expire(key, seconds)

    def dump(self) -> Mapping[str, bytes]:
        """All keys with their values of any type, as Redis serializes them."""
        return {key: self._client.dump(key) for key in self.keys()}

    def restore(self, dump: Mapping[str, bytes]) -> None:
        """Replace all keys by those of a dump."""
        self.flush()
        for key, value in dump.items():
            self._client.restore(key, 0, value)

    def force_evictions(self) -> None:
        """Write until the server evicts all older keys."""
        room = 256 * 1024
        self._client.config_set("maxmemory", self._client.info("memory")["used_memory"] + room)
        for n in range(64):
            self._client.set(f"filling:{n}", random.randbytes(room // 32))
        self._client.config_set("maxmemory", 128 * 1024 * 1024)

    def evicted(self) -> int:
        """The number of keys that the server has evicted since its start."""
        return self._client.info("stats")["evicted_keys"]

    def keys(self, pattern: str = "*") -> list[str]:
        return sorted(key.decode() for key in self._client.scan_iter(pattern))

    def seconds_left(self, key: str) -> int:
        """The seconds until a key expires; -1 if it does not."""
        return self._client.ttl(key)

    def calls(self, command: str) -> int:
        """The number of calls of a command since the start of the server."""
        return self._client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0)

    def put(self, key: str, value: bytes) -> None:
        self._client.set(key, value)

    def delete(self, pattern: str = "*") -> None:
        """Delete the matching keys, as an eviction does."""
        for key in self.keys(pattern):
            self._client.delete(key)

    def delete_half(self) -> None:
        """Delete a random half of the keys."""
        keys = self.keys()
        for key in random.sample(keys, len(keys) // 2):
            self._client.delete(key)

    def flush(self) -> None:
        self._client.flushall()

    def flush_scripts(self) -> None:
        self._client.script_flush()

    def cut_connections(self) -> None:
        """Close all connections except this one."""
        self._client.client_kill_filter(_type="normal", skipme=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()
