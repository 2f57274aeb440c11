"""What tests do to a Redis of their own: look into it, make it forget, and break it."""

import random
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, cast

from redis import Redis


class RedisAdmin:
    """A connection beside the one that is tested; a context closes it."""

    def __init__(self, url: str) -> None:
        self._client = cast("Any", Redis).from_url(url)

    def contents(self, pattern: str = "*") -> Mapping[str, bytes]:
        """The values whose keys match, but for those of other types than strings."""
        strings = (key for key in self.keys(pattern) if self._client.type(key) == b"string")
        return {key: self._client.get(key) for key in strings}

    def fields(self, key: str) -> Mapping[bytes, bytes]:
        """What a hash holds."""
        return self._client.hgetall(key)

    def put_field(self, key: str, field: bytes, value: bytes) -> None:
        self._client.hset(key, field, value)

    def live(self, key: str, seconds: int) -> None:
        self._client.expire(key, seconds)

    def copy(self) -> Mapping[str, bytes]:
        """All there is, of any type."""
        return {key: self._client.dump(key) for key in self.keys()}

    def fall_back_to(self, copy: Mapping[str, bytes]) -> None:
        """Have what a copy has, and nothing else."""
        self.flush()
        for key, value in copy.items():
            self._client.restore(key, 0, value)

    def overfill(self) -> None:
        """Write so much that the server evicts all that lies there longer."""
        room = 256 * 1024
        self._client.config_set("maxmemory", self._client.info("memory")["used_memory"] + room)
        for n in range(64):
            self._client.set(f"filling:{n}", random.randbytes(room // 32))
        self._client.config_set("maxmemory", 128 * 1024 * 1024)

    def evicted(self) -> int:
        """How many keys the server has evicted since it started."""
        return self._client.info("stats")["evicted_keys"]

    def keys(self, pattern: str = "*") -> list[str]:
        return sorted(key.decode() for key in self._client.scan_iter(pattern))

    def seconds_left(self, key: str) -> int:
        """How long a key lives yet; -1: for good."""
        return self._client.ttl(key)

    def calls(self, command: str) -> int:
        """How often a command was called since the server started."""
        return self._client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0)

    def put(self, key: str, value: bytes) -> None:
        self._client.set(key, value)

    def forget(self, pattern: str = "*") -> None:
        """As an eviction does."""
        for key in self.keys(pattern):
            self._client.delete(key)

    def forget_some(self) -> None:
        """Half of what is there."""
        keys = self.keys()
        for key in random.sample(keys, len(keys) // 2):
            self._client.delete(key)

    def flush(self) -> None:
        self._client.flushall()

    def forget_scripts(self) -> None:
        self._client.script_flush()

    def cut_connections(self) -> None:
        """All but this one."""
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
