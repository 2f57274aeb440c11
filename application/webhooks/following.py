"""Delivers to all webhooks: the workers share them, and each webhook has one worker that leads it."""

import asyncio
from typing import Final, NoReturn
from uuid import UUID

from structlog import get_logger

from application.doorbell import LOG
from application.log.follower import NotLeading
from application.retry import BackOff
from application.webhooks.delivery_ledger import Membership
from application.webhooks.followed import Followed, WebhookTools
from application.webhooks.states import WebhookAt

# The longest delay after a missed wake-up.
_POLL_SECONDS: Final = 1.0
# The bell rings for each commit to the log, and only few of them are about webhooks.
_PAUSE_SECONDS: Final = 0.25
_CLEAN_SECONDS: Final = 60.0

log = get_logger(__name__)


async def run_webhooks(tools: WebhookTools) -> NoReturn:
    """Deliver to each active webhook that this worker leads; cancel it to stop.

    Any number of workers may run it.
    """
    back_off = BackOff("webhooks")
    async with (
        asyncio.TaskGroup() as tasks,
        tools.deliveries.doorbell.listen(LOG) as bell,
    ):
        webhooks = FollowedWebhooks(tools, tasks)
        while True:
            try:
                async with tools.ledger.join() as membership:
                    while True:
                        await webhooks.refresh(membership)
                        back_off.reset()
                        await asyncio.sleep(_PAUSE_SECONDS)
                        await bell.wait(_POLL_SECONDS - _PAUSE_SECONDS)
            except NotLeading:
                log.info("webhook_worker_rejoins")
            except Exception as error:
                # The webhooks that were followed before are still followed.
                await back_off.wait(error)


class FollowedWebhooks:
    """The webhooks that this worker knows, and those that it follows: its share of the active ones."""

    def __init__(self, tools: WebhookTools, tasks: asyncio.TaskGroup) -> None:
        self._tools = tools
        self._tasks = tasks
        self._versions: dict[UUID, int] = {}
        self._active: dict[UUID, WebhookAt] = {}
        self._followed: dict[UUID, Followed] = {}
        self._clean_at = 0.0

    async def refresh(self, membership: Membership) -> None:
        """Load the webhooks that changed, and follow this worker's share.

        Raises `NotLeading` if this worker counts no longer, and `Unavailable`.
        """
        living = {each.id: each.version for each in await self._tools.directory.living()}
        changed = [each for each in living if living[each] != self._versions.get(each)]
        # One that cannot be read now is left out; it is tried again when it changes.
        states = await self._tools.directory.load(changed)
        gone = self._versions.keys() - living.keys()
        for webhook in (*changed, *gone):
            self._put(webhook, states.get(webhook))
        self._versions = living
        self._share_with(await membership.workers())
        now = asyncio.get_running_loop().time()
        if gone or now >= self._clean_at:
            self._clean_at = now + _CLEAN_SECONDS
            for webhook in await self._tools.ledger.remove_deleted():
                log.info("webhook_records_removed", webhook=str(webhook))

    def _put(self, webhook: UUID, state: WebhookAt | None) -> None:
        followed = self._followed.get(webhook)
        if state is not None and state.config.status == "active":
            self._active[webhook] = state
            if followed is not None:
                followed.change(state)
        else:
            self._active.pop(webhook, None)
            if followed is not None:
                self._followed.pop(webhook).end()

    def _share_with(self, workers: int) -> None:
        """Lead as many as each worker should, and wait for others only with less than that.

        A worker that comes gets the webhooks that the others release; those of one that ends are
        free at once.
        """
        share = -(-len(self._active) // max(workers, 1))
        self._followed = {key: each for key, each in self._followed.items() if each.is_running}
        led = [key for key, each in self._followed.items() if each.leads]
        for webhook in led[share:]:
            self._followed.pop(webhook).end()
        if len(led) < share:
            for webhook, state in self._active.items():
                if webhook not in self._followed:
                    self._followed[webhook] = Followed(state, self._tools, self._tasks)
        else:
            for webhook in self._followed.keys() - set(led):
                self._followed.pop(webhook).end()
