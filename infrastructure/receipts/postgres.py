"""The receipts of administrative commands in Postgres, in the table of all receipts.

Of these, `stream` is the id for a job, `version` the attempt, and `status` 0 until the answer.
"""

import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec

from application.context import TENANT, IdempotencyKey
from application.errors import IdempotencyMismatch
from application.receipts import SILENT_SECONDS, Execution, KeptAnswer, Unanswered
from infrastructure.database import Database
from infrastructure.keys import MasterKeyRing

_SECONDS: Final = 5.0

_BEGIN: Final = Path(__file__).with_name("begin.sql").read_text()
_FOUND: Final = """
SELECT request, answer, stream, version FROM receipts
WHERE key = %(key)s AND actor = %(actor)s AND tenant = %(tenant)s"""
_PROLONG: Final = """
UPDATE receipts SET recorded_at = clock_timestamp()
WHERE key = %(key)s AND actor = %(actor)s AND tenant = %(tenant)s
  AND stream = %(id)s AND version = %(attempt)s AND status = 0
RETURNING version"""
_ABANDON: Final = """
UPDATE receipts SET recorded_at = clock_timestamp() - make_interval(secs => %(silent)s)
WHERE key = %(key)s AND actor = %(actor)s AND tenant = %(tenant)s
  AND stream = %(id)s AND version = %(attempt)s AND status = 0
RETURNING version"""
_KEEP: Final = """
UPDATE receipts SET status = %(status)s, answer = %(answer)s, recorded_at = clock_timestamp()
WHERE key = %(key)s AND actor = %(actor)s AND tenant = %(tenant)s
  AND stream = %(id)s AND version = %(attempt)s AND status = 0
RETURNING version"""
_FREE: Final = """
DELETE FROM receipts
WHERE key = %(key)s AND actor = %(actor)s AND tenant = %(tenant)s
  AND stream = %(id)s AND version = %(attempt)s AND status = 0
RETURNING version"""


class PostgresAnswerReceipts:
    """See `AnswerReceipts`. Each statement may be repeated after a lost reply."""

    def __init__(self, database: Database, keys: MasterKeyRing, new_id: Callable[[], UUID]) -> None:
        self._database = database
        self._keys = keys
        self._new_id = new_id

    async def begin(self, actor: str, key: IdempotencyKey) -> Execution | KeptAnswer | None:
        request = self._keys.request(key.fingerprint)
        given = {"request": request, "id": self._new_id(), "silent": SILENT_SECONDS}
        # Neither is found if the receipt is deleted in between: try again.
        while not (begun := await self._rows(_BEGIN, actor, key, **given)):
            if found := await self._rows(_FOUND, actor, key):
                known, answer, execution, attempt = found[0]
                if not hmac.compare_digest(known, request):
                    raise IdempotencyMismatch
                if answer is not None:
                    return msgspec.json.decode(answer, type=KeptAnswer)
                # It is ours if only the reply was lost.
                return Execution(execution, attempt) if execution == given["id"] else None
        return Execution(*begun[0])

    async def prolong(self, actor: str, key: IdempotencyKey, execution: Execution) -> None:
        await self._rows(_PROLONG, actor, key, id=execution.id, attempt=execution.attempt)

    async def end(
        self, actor: str, key: IdempotencyKey, execution: Execution, answer: KeptAnswer | Unanswered
    ) -> None:
        fence = {"id": execution.id, "attempt": execution.attempt}
        if answer == "refused":
            await self._rows(_FREE, actor, key, **fence)
        elif answer == "unknown":
            await self._rows(_ABANDON, actor, key, silent=SILENT_SECONDS, **fence)
        else:
            encoded = msgspec.json.encode(answer).decode()
            await self._rows(_KEEP, actor, key, status=answer.status, answer=encoded, **fence)

    async def _rows(self, query: str, actor: str, key: IdempotencyKey, **given: Any) -> list[Any]:
        names = {"tenant": TENANT, "actor": actor, "key": key.key}
        return await self._database.rows(query, {**names, **given}, seconds=_SECONDS)
