"""The table of contents of all events, by stored name."""

from collections.abc import Mapping
from typing import Final

from domain.access.events import ACCESS_EVENTS
from domain.event import Event
from domain.token.events import TOKEN_EVENTS
from domain.user.events import USER_EVENTS
from domain.webhook.events import WEBHOOK_EVENTS

EVENT_TYPES: Final[Mapping[str, type[Event]]] = {
    event.topic: event for event in (*USER_EVENTS, *WEBHOOK_EVENTS, *TOKEN_EVENTS, *ACCESS_EVENTS)
}


def kind_of(topic: str) -> str:
    """The kind of stream of a topic: `user` for `user.renamed`."""
    return topic.partition(".")[0]
