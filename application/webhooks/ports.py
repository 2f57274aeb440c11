"""The ports of webhooks: which there are, and the secrets that sign their deliveries."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from application.webhooks.states import WebhookAt


class LivingWebhook(Struct, frozen=True):
    """A webhook that is not deleted, and the last version of its stream."""

    id: UUID
    version: int


class WebhookDirectory(Protocol):
    """The webhooks in the log. Each method raises `Unavailable`."""

    async def living(self) -> Sequence[LivingWebhook]:
        """All webhooks that are not deleted, at most 100: one short statement."""
        ...

    async def load(self, ids: Collection[UUID]) -> Mapping[UUID, WebhookAt]:
        """These webhooks as they are now; a deleted one too.

        One whose events cannot be read is left out, and logged with the reason; it breaks no other.
        """
        ...

    async def free_place(self, webhook: UUID) -> str | None:
        """The value of a claim that no webhook holds now; None if there are 100 webhooks.

        Webhooks that are created at the same moment get different ones, as a rule.
        """
        ...


class WebhookSecrets(Protocol):
    def webhook_secret(self, webhook: UUID, version: int) -> str:
        """The secret that the webhook got at a version: `whsec_` and 32 bytes in base64.

        It is derived, never stored: the same arguments give the same secret.
        """
        ...
