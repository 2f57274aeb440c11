"""Converts events to and from their stored form: JSON with the personal fields sealed inside.

The stored form is `{"data": {...}, "sealed": "<base64>", "v": 2}`: `data` has the open fields,
`sealed` the personal fields as one ciphertext (absent if there are none), `v` the schema version
(absent if it is 1). The form of events that are already stored never changes.
"""

import base64
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec
from eventsourcing.utils import register_topic, resolve_topic
from msgspec import NODEFAULT, Raw, Struct
from msgspec.structs import FieldInfo

from application.log.sealed import Sealed
from domain.catalogue import EVENT_TYPES
from domain.event import ERASED, Event
from infrastructure.keys import PersonCipher

_encode: Final = msgspec.json.Encoder().encode


class Undecodable(Exception):
    """An event of the log cannot be read; the message contains none of its values."""


class UnknownTopic(Undecodable):
    """The log holds an event of a type that this release does not know."""


class UnknownSchemaVersion(Undecodable):
    """The log holds an event of a newer schema version than this release knows."""


class MalformedState(Undecodable):
    """The stored form of an event does not decode."""


class _Stored(Struct):
    """The stored form; msgspec decodes `sealed` from base64."""

    data: Raw
    sealed: bytes | None = None
    v: int = 1


class _Codec:
    """How one event type is split into open and personal fields, and decoded."""

    def __init__(self, event_type: type[Event]) -> None:
        self.event_type = event_type
        fields = msgspec.structs.fields(event_type)
        self.open = tuple(f.name for f in fields if f.name not in event_type.personal)
        self.personal = tuple(f.name for f in fields if f.name in event_type.personal)
        self.defaults = {f.name: _default(f) for f in fields if not f.required}
        self.decode = msgspec.json.Decoder(event_type).decode
        self.open_type = msgspec.defstruct(
            f"{event_type.__name__}Open",
            [
                (f.name, f.type) if f.required else (f.name, f.type, _default(f))
                for f in fields
                if f.name in self.open
            ],
        )

    def pick(self, event: Event, names: tuple[str, ...]) -> dict[str, Any]:
        """The named fields, except those with their default value."""
        values = ((name, getattr(event, name)) for name in names)
        return {
            name: value
            for name, value in values
            if name not in self.defaults or value != self.defaults[name]
        }


def _default(field: FieldInfo) -> Any:
    if field.default_factory is not NODEFAULT:
        return field.default_factory()
    return field.default


for _topic, _event in EVENT_TYPES.items():
    register_topic(_topic, _event)


@cache
def _codec(topic: str) -> _Codec:
    # The library would import an unknown topic as a module.
    if topic not in EVENT_TYPES:
        raise UnknownTopic(topic)
    return _Codec(resolve_topic(topic))


def has_personal(event: Event) -> bool:
    """Whether the event has personal values to seal."""
    codec = _codec(event.topic)
    return bool(codec.pick(event, codec.personal))


def seal_context(stream: UUID, event_id: UUID) -> bytes:
    """The context that a sealed value is bound to: it opens only at its own place in the log."""
    return stream.bytes + event_id.bytes


def to_state(event: Event, stream: UUID, event_id: UUID, cipher: PersonCipher | None) -> bytes:
    """The stored form. Raises `ValueError` if there is something to seal and no cipher."""
    codec = _codec(event.topic)
    stored: dict[str, Any] = {"data": codec.pick(event, codec.open)}
    personal = codec.pick(event, codec.personal)
    if personal:
        if cipher is None:
            raise ValueError(f"{event.topic} has personal fields and no key to seal them with")
        sealed = cipher.seal(_encode(personal), seal_context(stream, event_id))
        stored["sealed"] = base64.b64encode(sealed).decode()
    if event.schema_version > 1:
        stored["v"] = event.schema_version
    return _encode(stored)


_decode_stored: Final = msgspec.json.Decoder(_Stored).decode
_decode_any: Final = msgspec.json.Decoder(dict[str, Any]).decode


def to_event(
    topic: str, state: bytes, stream: UUID, event_id: UUID, cipher: PersonCipher | None
) -> Event:
    """The event of a stored form; its personal fields are `ERASED` if there is no cipher.

    Raises `UnknownTopic`, `UnknownSchemaVersion`, `MalformedState` and the cipher's errors.
    """
    codec = _codec(topic)
    try:
        stored = _decode_stored(state)
        if stored.sealed is None:
            personal = None
        elif cipher is None:
            return _erased(codec, bytes(stored.data), stored.v)
        else:
            personal = cipher.open(stored.sealed, seal_context(stream, event_id))
        return _decoded(codec, _joined(bytes(stored.data), personal), stored.v)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise MalformedState(f"{topic}: {type(error).__name__}") from None


def to_sealed(topic: str, state: bytes, *, is_erased: bool) -> Sealed:
    """The event of a stored form with its ciphertext unopened.

    An unknown topic or a newer schema version is returned as it is stored.
    Raises `MalformedState`.
    """
    try:
        stored = _decode_stored(state)
        known = EVENT_TYPES.get(topic)
        if known is None or stored.v > known.schema_version:
            fields, schema, personal = _decode_any(stored.data), stored.v, frozenset[str]()
        else:
            fields, schema, personal = _open_fields(_codec(topic), stored)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise MalformedState(f"{topic}: {type(error).__name__}") from None
    if stored.sealed is None:
        return Sealed(type=topic, schema=schema, fields=fields)
    if is_erased:
        fields.update(dict.fromkeys(personal))
        return Sealed(type=topic, schema=schema, fields=fields, access="erased", erased=personal)
    return Sealed(type=topic, schema=schema, fields=fields, access="sealed", value=stored.sealed)


def _open_fields(codec: _Codec, stored: _Stored) -> tuple[dict[str, Any], int, frozenset[str]]:
    """The fields readable without a key, their schema version, and the names of personal fields."""
    data = bytes(stored.data)
    if stored.sealed is None:
        event, names = _decoded(codec, data, stored.v), codec.event_type.__struct_fields__
    else:
        event, names = _erased(codec, data, stored.v), codec.open
    fields = {name: getattr(event, name) for name in names}
    return fields, event.schema_version, event.personal


def _decoded(codec: _Codec, data: bytes, version: int) -> Event:
    if version == codec.event_type.schema_version:
        return codec.decode(data)
    upcast = _upcast(codec.event_type, _decode_any(data), version)
    return msgspec.convert(upcast, codec.event_type)


def _joined(data: bytes, personal: bytes | None) -> bytes:
    """Merges two JSON objects with different keys."""
    if personal is None or personal == b"{}":
        return data
    return personal if data == b"{}" else personal[:-1] + b"," + data[1:]


def _erased(codec: _Codec, data: bytes, version: int) -> Event:
    erased = dict.fromkeys(codec.personal, ERASED)
    fields = _upcast(codec.event_type, {**_decode_any(data), **erased}, version)
    known = msgspec.convert(
        {name: fields[name] for name in codec.open if name in fields}, codec.open_type
    )
    return codec.event_type(**msgspec.structs.asdict(known), **erased)


def _upcast(event_type: type[Event], fields: dict[str, Any], version: int) -> dict[str, Any]:
    if version > event_type.schema_version:
        raise UnknownSchemaVersion(f"{event_type.topic} version {version}")
    for step in range(version, event_type.schema_version):
        fields = event_type.upcasters[step](fields)
    return fields
