"""The mails that there are: the values that each template may use, with an example of each.

The templates of the operator are tried with the examples when a worker starts.
"""

from collections.abc import Mapping
from typing import Final

COMMON: Final[Mapping[str, str]] = {"sender": "Example"}
"""What every template may use: `sender` is the name of the sender, else the sender's domain."""

_USER: Final = "0194f3c2-7a5e-7cc1-9d5e-3f2b8a6c1d40"

SAMPLES: Final[Mapping[str, Mapping[str, str]]] = {
    "email-change-notice": {"user": _USER, "changed_at": "2026-03-01 09:17 UTC"},
    "welcome": {
        "user": _USER,
        "name": "Grace Hopper",
        "link": f"https://example.org/welcome?user={_USER}",
    },
}
