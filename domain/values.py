"""Values that are valid because they exist: parsed once at the door."""

from typing import Any, Final, Self

from msgspec import Struct

DEFAULT_ROLE: Final = "member"


class PersonName(Struct, frozen=True):
    """1-200 characters, NFC, trimmed, no control characters."""

    text: str

    @classmethod
    def parse(cls, raw: str) -> Self:
        raise NotImplementedError


class EmailAddress(Struct, frozen=True):
    """An address as typed (trimmed, NFC) and the form two spellings of one address share."""

    text: str
    comparable: str

    @classmethod
    def parse(cls, raw: str) -> Self:
        raise NotImplementedError


class Role(Struct, frozen=True):
    text: str

    @classmethod
    def parse(cls, raw: str) -> Self:
        raise NotImplementedError


class ExternalId(Struct, frozen=True):
    text: str

    @classmethod
    def parse(cls, raw: str) -> Self:
        raise NotImplementedError


def parse_attributes(raw: dict[str, Any]) -> dict[str, Any]:
    raise NotImplementedError
