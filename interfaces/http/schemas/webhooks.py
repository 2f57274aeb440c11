"""Requests about webhooks: the bodies of commands."""

from typing import Annotated, Final, cast, get_args

from pydantic import ConfigDict, Field, PlainValidator, WithJsonSchema, with_config
from typing_extensions import TypedDict

from domain.errors import InvalidValue
from domain.values import MAX_REASON_LENGTH, parse_reason
from domain.webhook.events import PersonalAccess
from domain.webhook.values import (
    ALL_TYPES,
    MAX_DESCRIPTION_LENGTH,
    MAX_URL_LENGTH,
    TYPES,
    parse_description,
    parse_types,
    parse_url,
)
from interfaces.http.protocol.fields import Parsed, PositionField, UuidField, invalid, one_of
from interfaces.http.protocol.validation import RequestModel

_ACCESS: Final[tuple[str, ...]] = get_args(PersonalAccess)


def _types(raw: object) -> tuple[str, ...]:
    names = cast("list[object]", raw) if isinstance(raw, list) else [None]
    if len(names) > len(TYPES) or not all(isinstance(name, str) for name in names):
        raise invalid(f"Must be a list of at most {len(TYPES)} types of events.")
    try:
        return parse_types(cast("list[str]", names))
    except InvalidValue as error:
        raise invalid(str(error)) from None


UrlField = Annotated[
    str,
    Parsed(
        parse_url,
        {
            "type": "string",
            "format": "webhook-url",
            "minLength": 1,
            "maxLength": MAX_URL_LENGTH,
            "description": "Where events are posted to: https, at a public address.",
        },
    ),
]
TypesField = Annotated[
    tuple[str, ...],
    PlainValidator(_types),
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "maxItems": len(TYPES),
            "items": {"type": "string", "enum": list(TYPES)},
            "description": f"The events to deliver; `{ALL_TYPES}` for all of them.",
        }
    ),
]
AccessField = Annotated[
    PersonalAccess,
    Parsed(one_of(_ACCESS), {"type": "string", "enum": list(_ACCESS)}),
]
DescriptionField = Annotated[
    str | None,
    Parsed(
        parse_description,
        {
            "type": "string",
            "format": "description",
            "maxLength": MAX_DESCRIPTION_LENGTH,
            "description": "For people; kept sealed.",
        },
    ),
]
PauseReasonField = Annotated[
    str | None,
    Parsed(
        parse_reason,
        {
            "type": "string",
            "format": "reason",
            "maxLength": MAX_REASON_LENGTH,
            "description": "For people; kept sealed.",
        },
    ),
]


class CreateWebhookBody(RequestModel):
    url: UrlField
    types: TypesField = (ALL_TYPES,)
    user: UuidField | None = Field(default=None, description="Only the events of this user.")
    personal: AccessField = Field(
        default="sealed",
        description="Whether the endpoint gets the personal fields (`open`) or null for each.",
    )
    description: DescriptionField | None = None
    after: PositionField | None = Field(
        default=None,
        description="Deliver the events after this position, 0 for all; without it, those that are "
        "recorded after the webhook.",
    )


@with_config(ConfigDict(extra="forbid"))
class ChangeWebhookBody(TypedDict, total=False):
    """A JSON merge patch (RFC 7396): what is left out stays as it is."""

    url: UrlField
    types: TypesField
    user: UuidField | None
    personal: AccessField
    description: DescriptionField | None


class PauseWebhookBody(RequestModel):
    reason: PauseReasonField | None = None


class ReplayWebhookBody(RequestModel):
    after: PositionField = Field(
        description="Deliver the events after this position again; 0 for all."
    )
    until: PositionField | None = Field(
        default=None,
        description="The last position to deliver again; then deliveries go on where they were "
        "before. Without it, they go on from there.",
    )
