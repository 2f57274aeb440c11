"""How the cache lies in Redis: its keys, and the bytes of each value.

| key | value |
|---|---|
| `rb2:{main.<log>.<epoch>.users.<generation>.<partition>}:pos` | `<incarnation>:<position>:<mends>` |
| `rb2:{…}:<user id>` | `<incarnation> <version> <status> <updated_at>\\n<JSON>` |
| `rb2:{…}:pages` | a hash: for each list that was asked for `<mark>\\n<position>\\n<JSON>`, and `size` |
| `rb2:{main.<log>.<epoch>.headcount.<generation>.0}:<day>` | `<position>\\n<JSON>` |

The braces keep a slot together in a cluster. A document counts only in the incarnation that the
position names: where the position is lost, a new one begins, and all that was kept is void. A page
counts only beside the very mark, which is the value of the position, that it was stored with.
"""

import secrets
from collections.abc import Iterator
from typing import Any, Final, cast
from uuid import UUID

from msgspec import Struct

from application.cache.ports import Removed
from application.context import TENANT
from application.projector.view_store import Slot
from application.queries.directory import Answer
from application.queries.documents import UserDocument
from domain.user.state import Status

# Part of each key: raise it when a value changes its form, the JSON of a document included, so
# that no process reads what another version wrote.
FORM: Final = 2

_INCARNATION_BYTES: Final = 8
_MARK_PARTS: Final = 3
_REMOVED: Final = b"removed"
_NEVER: Final = b"-"
_HEAD_PARTS: Final = 4


class Mark(Struct, frozen=True):
    """Where a slot stands, and in which incarnation documents count; `value` says all of it.

    `value` is another one, too, once the view was changed on the spot.
    """

    incarnation: bytes
    position: int
    value: bytes


class SlotKeys(Struct, frozen=True):
    """What there is once in a slot."""

    position: str
    pages: str


class Keys:
    """The keys of one log, since its last restore."""

    def __init__(self, log_id: UUID, epoch: int, form: int = FORM) -> None:
        self._log_id = log_id
        self._epoch = epoch
        # The end of a UUIDv7 is random; its beginning is a time that two logs may share.
        self._prefix = f"rb{form}:{{{TENANT}.{log_id.hex[-12:]}.{epoch}"

    def with_former(self) -> Iterator["Keys"]:
        """These, and those of the log before each of its restores, in every form there was."""
        for form in range(1, FORM + 1):
            for epoch in range(1, self._epoch + 1):
                yield Keys(self._log_id, epoch, form)

    def of(self, slot: Slot[Any], name: object) -> str:
        """The key of something that belongs to a slot."""
        projection = slot.projection.name
        return f"{self._prefix}.{projection}.{slot.generation}.{slot.partition}}}:{name}"

    def position_of(self, slot: Slot[Any]) -> str:
        return self.of(slot, "pos")

    def once_in(self, slot: Slot[Any]) -> SlotKeys:
        return SlotKeys(self.position_of(slot), self.of(slot, "pages"))


def new_mark(position: int) -> str:
    """Of an incarnation that there never was."""
    return f"{secrets.token_hex(_INCARNATION_BYTES)}:{position}:0"


def read_mark(value: bytes | None) -> Mark | None:
    """None for what is no position of ours."""
    parts = (value or b"").split(b":")
    if value is None or len(parts) != _MARK_PARTS or not parts[1].isdigit():
        return None
    return Mark(parts[0], int(parts[1]), value)


def user_value(document: UserDocument | Removed) -> bytes:
    """All of the value but the incarnation, which is known where it is stored."""
    if isinstance(document, Removed):
        return b"%d %b %b\n" % (document.version, _REMOVED, _NEVER)
    head = f"{document.version} {document.status} {document.updated_at}\n"
    return head.encode() + document.body


def read_user(
    value: bytes | None, mark: Mark, generation: int
) -> Answer[UserDocument | None] | None:
    """The document, or that there is none; None for what does not count."""
    head, newline, body = (value or b"").partition(b"\n")
    parts = head.split(b" ")
    if not newline or len(parts) != _HEAD_PARTS or parts[0] != mark.incarnation:
        return None
    _, version, status, updated_at = parts
    if status == _REMOVED:
        return Answer(None, mark.position, generation)
    document = UserDocument(
        int(version), cast("Status", status.decode()), updated_at.decode(), body
    )
    return Answer(document, mark.position, generation)


def page_value(mark: bytes, page: Answer[bytes]) -> bytes:
    return b"%b\n%d\n%b" % (mark, page.position, page.value)


def read_page(value: bytes | None, mark: Mark, generation: int) -> Answer[bytes] | None:
    """None for what is no page, or one that was stored beside another mark."""
    stored, _, rest = (value or b"").partition(b"\n")
    position, newline, body = rest.partition(b"\n")
    if stored != mark.value or not newline or not position.isdigit():
        return None
    return Answer(body, int(position), generation)


def stats_value(document: Answer[bytes]) -> bytes:
    return b"%d\n%b" % (document.position, document.value)


def read_stats(value: bytes | None, generation: int) -> Answer[bytes] | None:
    """None for what are no statistics of ours."""
    position, newline, body = (value or b"").partition(b"\n")
    known = newline and position.isdigit()
    return Answer(body, int(position), generation) if known else None
