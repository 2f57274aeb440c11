"""A process that sends the worst requests on eight connections until it is killed.

    python -m tests.support.hostile.worst_load PORT TOKEN USER SUBJECT

It prints `ready` once each connection has had an answer.
"""

import asyncio
import re
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Final

import uvloop

from tests.support.hostile.worst_requests import worst_requests

CONNECTIONS: Final = 8
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


async def main(port: int, token: str, user: str, subject: str) -> None:
    requests = worst_requests(token, user)[subject]
    answered = asyncio.Barrier(CONNECTIONS)
    async with asyncio.TaskGroup() as tasks:
        for number in range(CONNECTIONS):
            own = islice(cycle(requests), number, None)
            tasks.create_task(_send(port, own, answered, is_first=number == 0))


async def _send(
    port: int, requests: Iterator[bytes], answered: asyncio.Barrier, *, is_first: bool
) -> None:
    waits = True
    while True:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        try:
            for request in requests:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)
                if waits:
                    waits = False
                    await answered.wait()
                    if is_first:
                        sys.stdout.write("ready\n")
                        sys.stdout.flush()
                if b"connection: close" in head.lower():
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            continue
        finally:
            writer.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), *sys.argv[2:5]))
