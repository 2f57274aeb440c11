"""The snapshot of a webhook: one that was changed often is read as fast as a new one."""

from typing import Final

import msgspec

from application.log.event_log import DraftSnapshot, StreamSnapshot
from application.webhooks.states import WebhookAt
from domain.webhook.state import Webhook

SNAPSHOT_EVERY: Final = 64

# Snapshots of another format are ignored. Each further field of the state is another format, because
# a process without the field leaves it out. Increase the 1 if `after` or `evolve` changes the state
# of the same events.
_FIELDS: Final = len(WebhookAt.__struct_fields__) + len(Webhook.__struct_fields__)
SNAPSHOT_FORMAT: Final = f"webhook/{1 + _FIELDS - 21}"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(WebhookAt).decode


def snapshot_of(state: WebhookAt) -> DraftSnapshot:
    """The snapshot of a webhook whose URL can be read."""
    return DraftSnapshot(SNAPSHOT_FORMAT, _encode(state))


def state_of(snapshot: StreamSnapshot) -> WebhookAt | None:
    """The state of a snapshot; None if it does not open or decode, and the events must be read."""
    if snapshot.state is None:
        return None
    try:
        return _decode(snapshot.state)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
