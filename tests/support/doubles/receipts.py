"""In-memory receipts of administrative commands; they pass the same contract suite as the real ones."""

from collections.abc import Callable
from uuid import UUID

from application.context import IdempotencyKey
from application.errors import IdempotencyMismatch
from application.log.event_log import StoredReceipt
from application.receipts import Execution, KeptAnswer, Unanswered
from tests.support.doubles.event_log import InMemoryEventLog


class InMemoryAnswerReceipts:
    """See `AnswerReceipts`; its keys are those of the log, too."""

    def __init__(self, log: InMemoryEventLog, new_id: Callable[[], UUID]) -> None:
        self._log = log
        self._new_id = new_id
        self._answers: dict[tuple[str, str], KeptAnswer] = {}
        self.silent = set[tuple[str, str]]()

    async def begin(self, actor: str, key: IdempotencyKey) -> Execution | KeptAnswer | None:
        place = (actor, key.key)
        found = self._log.receipts.get(place)
        if found is None:
            return self._given(place, key, Execution(self._new_id(), 1))
        request, receipt = found
        if request != key.fingerprint:
            raise IdempotencyMismatch
        if place in self._answers or place not in self.silent:
            return self._answers.get(place)
        return self._given(place, key, Execution(receipt.stream, receipt.version + 1))

    async def prolong(self, actor: str, key: IdempotencyKey, execution: Execution) -> None:
        if self._is_current(actor, key, execution):
            self.silent.discard((actor, key.key))

    async def end(
        self, actor: str, key: IdempotencyKey, execution: Execution, answer: KeptAnswer | Unanswered
    ) -> None:
        if not self._is_current(actor, key, execution):
            return
        if answer == "refused":
            del self._log.receipts[actor, key.key]
        elif answer == "unknown":
            self.silent.add((actor, key.key))
        else:
            self._answers[actor, key.key] = answer

    def _given(
        self, place: tuple[str, str], key: IdempotencyKey, execution: Execution
    ) -> Execution:
        receipt = StoredReceipt(
            matches=False, status=0, stream=execution.id, version=execution.attempt, position=0
        )
        self._log.receipts[place] = (key.fingerprint, receipt)
        self.silent.discard(place)
        return execution

    def _is_current(self, actor: str, key: IdempotencyKey, execution: Execution) -> bool:
        place = (actor, key.key)
        if place in self._answers or place not in self._log.receipts:
            return False
        receipt = self._log.receipts[place][1]
        return (receipt.stream, receipt.version) == (execution.id, execution.attempt)
