"""Rollbook that gets SIGTERM under load answers every recorded command before it exits."""

import asyncio
import signal
from pathlib import Path

from tests.support.http.agreement import all_events, disagreements
from tests.support.http.load import Load
from tests.support.servers.postgres import scaled
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook

CALLERS = 32


async def test_every_command_in_the_log_was_answered_before_the_exit(tmp_path: Path) -> None:
    with RunningRollbook(prepared(tmp_path / "data")) as rollbook:
        async with Load.on(rollbook.url, rollbook.token, give_up_rate=1.0) as load:
            for _ in range(scaled(1)):
                await load.start(CALLERS)
                await load.wait_for_accepted(10)
                await asyncio.sleep(0.3)
                assert await asyncio.to_thread(rollbook.stop, signal.SIGTERM) == 0
                await load.stop()
                await asyncio.to_thread(rollbook.start)
            events = await all_events(load.client)
            answered = {one.command.key for one in load.sent if one.accepted}
            assert {event["correlationid"] for event in events} == answered
            assert disagreements(events, load.sent) == []
