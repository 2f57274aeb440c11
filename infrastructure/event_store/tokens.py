"""The tokens in the log: which there are by their claims, and their states by their streams."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final
from uuid import UUID

from structlog import get_logger

from application.access.tokens_ports import HeldSecret, Holders, TokenPage
from application.access.tokens_states import TokenAt, folded
from application.context import TENANT
from application.failures import describe
from domain.token.claims import MAX_TOKENS, SCOPES, secret_in
from infrastructure.database import Database
from infrastructure.event_store.mapper import RollbookMapper
from infrastructure.event_store.serializer import Undecodable
from infrastructure.event_store.stored_rows import EVENT, StoredRow
from infrastructure.keys import MasterKeyRing

_SQL: Final = Path(__file__).with_name("sql")
HOLDERS: Final = _SQL.joinpath("token_holders.sql").read_text()
LIVING: Final = _SQL.joinpath("living_tokens.sql").read_text()
_EVENTS: Final = _SQL.joinpath("token_events.sql").read_text().replace("{EVENT}", EVENT)
COUNT: Final = """
SELECT count(*) FROM (
    SELECT DISTINCT c.stream_id FROM claims c
    WHERE c.scope IN ('token-0', 'token-1') AND c.tenant = %s LIMIT %s) AS living"""
_STREAM: Final = 1
# So many take some hundredths of a second, which other tasks can wait.
_PIECE: Final = 1000
_FIRST: Final = UUID(int=0)
# Each living token once, and room for those that change.
_MAX_STATES: Final = 2 * MAX_TOKENS

log = get_logger(__name__)


class PostgresTokenDirectory:
    """See `TokenDirectory`. Each state is read once for each version of its stream."""

    def __init__(self, database: Database, mapper: RollbookMapper, keys: MasterKeyRing) -> None:
        self._database = database
        self._mapper = mapper
        self._keys = keys
        # By stream, with the version; None: the events up to that version cannot be read.
        self._states = dict[UUID, tuple[int, TokenAt | None]]()

    async def holders(self, credentials: Collection[str]) -> Holders:
        now, held, all_of_them = datetime.now(UTC), dict[str, HeldSecret](), list(credentials)
        for begin in range(0, len(all_of_them), _PIECE):
            asked = [
                (credential, scope)
                for credential in all_of_them[begin : begin + _PIECE]
                for scope in SCOPES
            ]
            parameters = {
                "values": [self._keys.claim(scope, credential) for credential, scope in asked],
                "scopes": [scope for _, scope in asked],
                "tenant": TENANT,
            }
            rows = await self._database.rows(HOLDERS, parameters)
            states = await self._at({stream: version for _, stream, version, _ in rows})
            for row in rows:
                number: int = row[0]
                stream: UUID = row[1]
                now = row[3]
                credential, scope = asked[number - 1]
                if (token := states.get(stream)) is not None:
                    held[credential] = HeldSecret(token, secret_in(scope, token.config))
        return Holders(now, held)

    async def page(self, after: UUID | None, limit: int) -> TokenPage:
        parameters = {"after": after or _FIRST, "limit": limit + 1, "tenant": TENANT}
        rows = await self._database.rows(LIVING, parameters)
        last = rows[limit - 1][0] if len(rows) > limit else None
        states = await self._at(dict(rows[:limit]))
        return TokenPage([states[stream] for stream, _ in rows[:limit] if stream in states], last)

    async def is_full(self) -> bool:
        rows = await self._database.rows(COUNT, (TENANT, MAX_TOKENS))
        return rows[0][0] >= MAX_TOKENS

    async def _at(self, versions: Mapping[UUID, int]) -> Mapping[UUID, TokenAt]:
        """The states at exactly these versions; one that cannot be read is left out.

        A later version could have given the scope of a secret to another one.
        """
        entries = {
            stream: entry
            for stream, version in versions.items()
            if (entry := self._states.get(stream)) is not None and entry[0] == version
        }
        read = await self._read({each: versions[each] for each in versions if each not in entries})
        entries |= read
        self._states |= read
        while len(self._states) > _MAX_STATES:
            del self._states[next(iter(self._states))]
        return {stream: state for stream, (_, state) in entries.items() if state is not None}

    async def _read(self, versions: Mapping[UUID, int]) -> dict[UUID, tuple[int, TokenAt | None]]:
        if not versions:
            return {}
        parameters = {"tokens": list(versions), "versions": list(versions.values())}
        rows = await self._database.rows(_EVENTS, parameters)
        by_stream = {stream: list(each) for stream, each in groupby(rows, itemgetter(_STREAM))}
        return {
            stream: (version, self._state(stream, by_stream.get(stream, [])))
            for stream, version in versions.items()
        }

    def _state(self, stream: UUID, rows: Sequence[Sequence[object]]) -> TokenAt | None:
        try:
            return folded(self._mapper.recorded(StoredRow.of(row)) for row in rows)
        except (Undecodable, ValueError) as error:
            log.error("token_unreadable", token=str(stream), error=describe(error))
            return None
