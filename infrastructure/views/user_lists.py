"""Pages of users as SQL: filters, order and place are parameters of a few cached statements."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Integer,
    Row,
    Select,
    Text,
    Uuid,
    and_,
    bindparam,
    cast,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, TSQUERY

from application.queries import ListCursor, SortField, UserList, UserPage
from domain.errors import InvalidValue
from infrastructure.views.catalogue import CHECKPOINTS, PROJECTIONS, serving
from infrastructure.views.tables import tables_of
from projections.folding import search_words
from projections.users import USERS, UserView

_FIELDS: Final = UserView.__struct_fields__
_SORT_COLUMNS: Final[dict[SortField, str]] = {
    "name": "name_key",
    "email": "email_key",
    "created_at": "created_at",
    "updated_at": "updated_at",
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
