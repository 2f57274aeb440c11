"""The layout of the cache in Redis: its keys, and the bytes of each value.

| key | value |
|---|---|
| `rb<format>:{main.<log>.<epoch>.<projection>.<generation>.0}:pos` | a mark, see below |
| `rb<format>:{…}:<user id>` | `<incarnation> <version> <status> <updated_at>\\n<JSON>` |
| `rb<format>:{…}:pages` | a hash: for each requested page `<mark>\\n<position>\\n<JSON>`, and `size` |

A mark is `<incarnation>:<position>:<repairs>`. The braces keep the keys of a slot on one node of a
cluster. A document is valid only in the incarnation of the mark: if the mark is lost, a new
incarnation begins and all older documents are invalid. A page is valid only while the slot has the
same mark as when the page was stored.
"""

import re
import secrets
from collections.abc import Iterator
from typing import Any, Final, cast
from uuid import UUID

from msgspec import Struct

from application.cache.ports import Mark, Removed
from application.context import TENANT
from application.projector.view_store import PARTITION, Slot
from application.queries.directory import Answer
from application.queries.documents import UserDocument
from application.queries.resources import User
from domain.user.state import Status

# Part of each key, so that no process reads values of another version: each further field of a
# document is another format, and so is each other change of a value (then increase the 3).
FORMAT: Final = 3 + len(User.__struct_fields__) - 11

_INCARNATION_BYTES: Final = 8
_MARK: Final = re.compile(rb"([0-9a-f]+):([0-9]+):([0-9]+)")
_REMOVED: Final = b"removed"
_NEVER: Final = b"-"
_HEAD_PARTS: Final = 4


class SlotKeys(Struct, frozen=True):
    """The keys that exist once per slot."""

    mark: str
    pages: str


class Keys:
    """The keys of one log, since its last restore."""

    def __init__(self, log_id: UUID, epoch: int, format_: int = FORMAT) -> None:
        self._log_id = log_id
        self._epoch = epoch
        # The end of a UUIDv7 is random; its beginning is a time that two logs may share.
        self._prefix = f"rb{format_}:{{{TENANT}.{log_id.hex[-12:]}.{epoch}"

    def with_previous(self) -> Iterator["Keys"]:
        """These keys and all earlier ones: of each epoch before a restore, in each format."""
        for format_ in range(1, FORMAT + 1):
            for epoch in range(1, self._epoch + 1):
                yield Keys(self._log_id, epoch, format_)

    def of(self, slot: Slot[Any], name: object) -> str:
        """The key `name` in a slot."""
        projection = slot.projection.name
        return f"{self._prefix}.{projection}.{slot.generation}.{PARTITION}}}:{name}"

    def slot_keys(self, slot: Slot[Any]) -> SlotKeys:
        return SlotKeys(self.of(slot, "pos"), self.of(slot, "pages"))


def new_mark(position: int, repairs: int) -> Mark:
    """A mark with a new, unused incarnation."""
    return Mark(secrets.token_hex(_INCARNATION_BYTES).encode(), position, repairs)


def mark_value(mark: Mark) -> bytes:
    return b"%b:%d:%d" % (mark.incarnation, mark.position, mark.repairs)


def read_mark(value: bytes | None) -> Mark | None:
    """The mark; None if the value is not a mark."""
    found = _MARK.fullmatch(value or b"")
    return Mark(found[1], int(found[2]), int(found[3])) if found else None


def user_value(document: UserDocument | Removed) -> bytes:
    """The value without its incarnation, which the script adds."""
    if isinstance(document, Removed):
        return b"%d %b %b\n" % (document.version, _REMOVED, _NEVER)
    head = f"{document.version} {document.status} {document.updated_at}\n"
    return head.encode() + document.body


def read_user(
    value: bytes | None, mark: Mark, generation: int
) -> Answer[UserDocument | None] | None:
    """The document, or an answer without one if it was removed; None if the value is not valid."""
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


def page_value(mark: Mark, page: Answer[bytes]) -> bytes:
    return b"%b\n%d\n%b" % (mark_value(mark), page.position, page.value)


def read_page(value: bytes | None, mark: Mark, generation: int) -> Answer[bytes] | None:
    """The page; None if the value is not a page or was stored with another mark."""
    stored, _, rest = (value or b"").partition(b"\n")
    position, newline, body = rest.partition(b"\n")
    if stored != mark_value(mark) or not newline or not position.isdigit():
        return None
    return Answer(body, int(position), generation)
