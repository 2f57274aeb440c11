"""The channels of LISTEN: a process that RabbitMQ wakes must hear every bell but the log's."""

import re
from pathlib import Path
from typing import Final

from infrastructure.doorbell.postgres import BELLS, EVENTS

ROOT: Final = Path(__file__).parents[3]
_NOTIFIES: Final = re.compile(r"pg_notify\('(\w+)', '(\w+)")


def test_only_the_append_function_notifies_the_channel_of_the_events() -> None:
    found = {
        (path.name, *match)
        for path in (ROOT / "infrastructure").rglob("*.*")
        if path.suffix in (".py", ".sql")
        for match in _NOTIFIES.findall(path.read_text())
    }
    events = {each for each in found if each[1] == EVENTS}
    assert {each[0] for each in events} == {"append_v2.sql"}
    assert {each[2] for each in events} == {"log"}
    assert {each[1] for each in found - events} == {BELLS}
