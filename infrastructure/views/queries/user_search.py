"""The statements for searches: a bounded stretch of the list's order first, then the rest.

The hits on the stretch may fill the page. Otherwise, one word in an order by name or e-mail is
searched in two ways: as a prefix of the sort key, by the index of that order, and at other places,
by the index of words. For more words, or in another order, the index of words finds all rows with
the rarest of them.
"""

from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    ColumnElement,
    Integer,
    Subquery,
    Table,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    tablesample,
    union_all,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from infrastructure.views.queries.user_filters import AnySelect, has_words, is_any
from infrastructure.views.queries.user_walks import (
    Shape,
    each_of,
    materialized,
    page_of_places,
    walk,
)

# The number of pages of the table that are sampled to estimate how many users have a word.
_SAMPLED_PAGES: Final = 50
_PAGE_BYTES: Final = 8192.0
# A word is looked up together with the rarest one if at most this many times as many users have it:
# reading its index entries costs a fraction of reading the rows that they exclude.
_NEARLY_AS_RARE: Final = 4
# If the index of words finds more rows than this, walking 1/16 of the excess is worth the risk.
_EXPENSIVE_ROWS: Final = 20_000
_RISK_DIVISOR: Final = 16


class _Stretch(Struct, frozen=True):
    """The `hits` in the walked rows, and the `end` of these rows if more are needed.

    The end is empty if the hits fill the page, or if there are no rows after it.
    """

    hits: CTE
    end: CTE


def searched(shape: Shape) -> AnySelect:
    """A page of users that have all of `words`, and one row more.

    Parameters besides those of every page: `words`; `each_word`, the words that may be looked up
    (with `by_word` without matches at the beginning of the sort key); `probe`, how many rows are
    walked at first; `look`, how many more at most. With `by_word` also `word` and `word_end`, the
    range of keys that begin with it.
    """
    counted = _counted_words(shape)
    stretch = _stretch(shape, counted)
    if shape.by_word:
        rest = [_beginning(shape, stretch), _elsewhere(shape, stretch, counted)]
    else:
        rest = [_with_rarest(shape, stretch, counted)]
    parts = [select(part.c.sort_key, part.c.id) for part in (stretch.hits, *rest)]
    found = union_all(*parts).subquery("found")
    page = (
        select(found.c.sort_key, found.c.id)
        .order_by(*shape.order(found.c.sort_key, found.c.id))
        .limit(bindparam("limit"))
    )
    return page_of_places(shape, page.subquery("page"))


def _stretch(shape: Shape, counted: CTE) -> _Stretch:
    """A probe, and after it as many rows as its hits suggest, if these are not too many."""
    limit, probed = _number("limit"), _number("probe")
    probe = materialized(walk(shape, probed, shape.behind_cursor, words=True), "probe")
    # The walks of many roles have no index to continue with.
    length = literal(0) if shape.walks_all_roles else _length(probe, counted)
    probe_end = materialized(_last(shape, probe), "probe_end")
    behind = shape.behind(shape.rows, select(*probe_end.c).scalar_subquery())
    further = materialized(walk(shape, length, lambda _: [behind], words=True), "further")
    rows = materialized(union_all(select(*probe.c), select(*further.c)), "stretch")
    hits = materialized(
        select(rows.c.sort_key, rows.c.id)
        .where(has_words(rows.c.words))
        .order_by(*shape.order(rows.c.sort_key, rows.c.id))
        .limit(limit),
        "hits",
    )
    continues = and_(_count(hits) < limit, _count(probe) == probed, _count(further) == length)
    end = materialized(_last(shape, rows, continues), "stretch_end")
    return _Stretch(hits, end)


def _length(probe: CTE, counted: CTE) -> ColumnElement[int]:
    """How many rows to walk after the probe.

    The probe's hits give the expected number for the rest of the page. If it is not larger than the
    number that the index of words should find, 1.5 times as many are walked. Otherwise none are,
    unless the index finds very many: hits may be clustered, so a small part is risked.
    """
    limit, probed, look = _number("limit"), _number("probe"), _number("look")
    counted_hits = func.count().filter(has_words(probe.c.words)).label("hits")
    hits = materialized(select(counted_hits).select_from(probe), "probe_hits").c.hits
    rows = (limit - hits) * probed / func.greatest(hits, 1)
    found = select(func.min(counted.c.users)).scalar_subquery()
    length = case(
        # In this order: words are counted only if the count is needed.
        (or_(hits >= limit, _count(probe) < probed), 0),
        (rows <= found, func.least(3 * rows / 2, look)),
        else_=func.least(func.greatest(found - _EXPENSIVE_ROWS, 0) / _RISK_DIVISOR, look),
    )
    made = materialized(select(cast(length, BigInteger()).label("length")), "further_length")
    return select(made.c.length).scalar_subquery()


def _counted_words(shape: Shape) -> CTE:
    """The estimated number of users that have each of `each_word`."""
    word, rows = each_of("each_word", "word"), shape.rows
    pages = func.pg_relation_size(rows.name) / _PAGE_BYTES
    share = func.least(1.0, _SAMPLED_PAGES / func.greatest(pages, 1.0))
    sample = tablesample(rows, func.system(100 * share), seed=literal(0))
    words = materialized(select(sample.c.words), "sample")
    having = (
        select(func.count() + 1)
        .select_from(words)
        .where(words.c.words.bool_op("@@")(cast(word.c.word, TSQUERY())))
        .scalar_subquery()
    )
    return materialized(select(word.c.word, (having / share).label("users")), "counted")


def _last(shape: Shape, rows: CTE, *conditions: ColumnElement[bool]) -> AnySelect:
    return (
        select(rows.c.sort_key, rows.c.id)
        .where(*conditions)
        .order_by(*shape.order(rows.c.sort_key, rows.c.id, backwards=True))
        .limit(1)
    )


def conditions(shape: Shape, rows: Subquery) -> list[ColumnElement[bool]]:
    """All filters except the narrow ones. A stream without a view has no status and no match."""
    found = [is_any(rows, "statuses")]
    if "roles" in shape.filters:
        found.append(is_any(rows, "roles"))
    if "words" in shape.filters:
        found.append(has_words(rows.c.words))
    return found


def _beginning(shape: Shape, stretch: _Stretch) -> Subquery:
    """After the stretch, the users whose key begins with the word: one range of the order."""
    # The start is the later of two places: the first key with the word and the end of the stretch.
    # With two separate conditions the index scan could start at the earlier place.
    near, far = ("word_end", "word") if shape.descending else ("word", "word_end")
    at_word = select(_key(shape, near).label("sort_key"), literal(UUID(int=0)).label("id"))
    starts = union_all(at_word, select(*stretch.end.c)).subquery("starts")
    start = (
        select(*starts.c)
        .order_by(*shape.order(*starts.c, backwards=True))
        .limit(1)
        .scalar_subquery()
    )

    def begins(rows: Table) -> list[ColumnElement[bool]]:
        key, end = shape.key(rows), _key(shape, far)
        within = key >= end if shape.descending else key < end
        return [shape.behind(rows, start), within, has_words(rows.c.words)]

    places = walk(shape, bindparam("limit"), begins).subquery("places")
    return select(places).where(_is_needed(stretch)).subquery("beginning")


def _elsewhere(shape: Shape, stretch: _Stretch, counted: CTE) -> Subquery:
    """After the stretch, the users that have the word but whose key does not begin with it."""
    found = _looked_up(shape, counted)
    key = shape.key(found)
    elsewhere = or_(key < _key(shape, "word"), key >= _key(shape, "word_end"))
    return _places_behind(shape, stretch, found, elsewhere)


def _with_rarest(shape: Shape, stretch: _Stretch, counted: CTE) -> Subquery:
    """After the stretch, the users found by the rarest words."""
    found = _looked_up(shape, counted)
    return _places_behind(shape, stretch, found)


def _looked_up(shape: Shape, counted: CTE) -> Subquery:
    """All rows that the index of words finds for the rarest word and those about as rare."""
    fewest = select(func.min(counted.c.users)).scalar_subquery()
    rarest = (
        select(func.string_agg(counted.c.word, " & "))
        .where(counted.c.users <= _NEARLY_AS_RARE * fewest)
        .scalar_subquery()
    )
    found = shape.rows.c.words.bool_op("@@")(cast(rarest, TSQUERY()))
    # OFFSET makes the planner use the index of words.
    return select(shape.rows).where(found).offset(0).subquery("looked_up")


def _is_needed(stretch: _Stretch) -> ColumnElement[bool]:
    # Evaluated before the look-up.
    return select(stretch.end.c.id).exists()


def _places_behind(
    shape: Shape, stretch: _Stretch, rows: Subquery, *further: ColumnElement[bool]
) -> Subquery:
    key = shape.key(rows)
    behind = shape.behind(rows, select(*stretch.end.c).scalar_subquery())
    return (
        select(key.label("sort_key"), rows.c.id)
        .where(_is_needed(stretch), behind, *further, *conditions(shape, rows))
        .order_by(*shape.order(key, rows.c.id))
        .limit(bindparam("limit"))
        .subquery("rest")
    )


def _number(parameter: str) -> BindParameter[int]:
    return bindparam(parameter, type_=Integer())


def _key(shape: Shape, parameter: str) -> BindParameter[Any]:
    return bindparam(parameter, type_=shape.key(shape.rows).type)


def _count(rows: CTE) -> ColumnElement[int]:
    return select(func.count()).select_from(rows).scalar_subquery()
