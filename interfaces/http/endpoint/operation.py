"""The declaration of an operation: what it is called, what it takes and what it answers."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import getdoc
from types import NoneType
from typing import Any, Final, Literal, get_args, get_type_hints

from fastapi import Response
from msgspec import Struct
from pydantic import TypeAdapter

from application.access.permissions import NEEDS
from interfaces.http.endpoint.auth import ON_BEHALF_OF, Admission, admission_for
from interfaces.http.endpoint.call import Call
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.consistency import MIN_POSITION
from interfaces.http.protocol.idempotency import IDEMPOTENCY_KEY
from interfaces.http.protocol.preconditions import IF_MATCH, IF_NONE_MATCH
from interfaces.http.protocol.problems import Slug

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Endpoint = Callable[[Call[Any, Any]], Awaitable[Response]]

# The headers of commands that the log records.
RECORDED: Final = (IDEMPOTENCY_KEY, ON_BEHALF_OF)
RECORDED_FOR_ONE_USER: Final = (*RECORDED, IF_MATCH, IF_NONE_MATCH)


class Operation(Struct, frozen=True, kw_only=True):
    """See `operation`; `takes` and `body` are the models of the parameters and the body."""

    method: Method
    path: str
    tag: str
    summary: str
    admission: Admission
    takes: TypeAdapter[Any] | None
    body: TypeAdapter[Any] | None
    headers: Sequence[str]
    accepts: Sequence[str]
    body_required: bool
    formats: Sequence[str]
    answers: type[Struct] | None
    status: int
    problems: Sequence[Slug]
    responses: Mapping[str, Any]
    secrets: Sequence[str]
    answer_headers: Sequence[str]
    endpoint: Endpoint

    @property
    def has_kept_answer(self) -> bool:
        """Whether the answer is kept for repeats with its key: the log keeps those to users."""
        return IDEMPOTENCY_KEY in self.headers and ON_BEHALF_OF not in self.headers

    @property
    def name(self) -> str:
        return self.endpoint.__name__

    @property
    def description(self) -> str:
        return getdoc(self.endpoint) or ""


def operation(
    method: Method,
    path: str,
    *,
    tag: str,
    summary: str,
    answers: type[Struct] | None,
    status: int = 200,
    headers: Sequence[str] | None = None,
    accepts: Sequence[str] = (JSON,),
    body_required: bool = False,
    formats: Sequence[str] | None = None,
    problems: Sequence[Slug] = (),
    responses: Mapping[str, Any] | None = None,
    secrets: Sequence[str] = (),
    answer_headers: Sequence[str] = (),
    admission: Admission | None = None,
) -> Callable[[Endpoint], Operation]:
    """Declare an operation: the function gets the call once all checks have passed.

    The function's annotation names the models of parameters and body: with `Query[None]`, the
    query string is not read. Every method but GET takes a body. What the caller needs is in the table
    of permissions, under the function's name; `admission` decides the needs that no permission
    alone decides. `headers` are those of the request that are read: by default, a query reads the position
    to wait for, and a command its idempotency key. `formats` are the media types of the answer, by
    default JSON; with none, `Accept` is not read. `problems` are those that the rest does not
    imply, and `responses` replace the described ones. `secrets` are the members of the answer that
    a repeat has as null. `answer_headers` are those of the answer that the rest does not imply.
    """
    is_query = method == "GET"
    if headers is None:
        headers = (MIN_POSITION,) if is_query else (IDEMPOTENCY_KEY,)
    if formats is None:
        formats = () if answers is None else (JSON,)

    def declare(endpoint: Endpoint) -> Operation:
        takes, body = get_args(next(iter(get_type_hints(endpoint, include_extras=True).values())))
        return Operation(
            method=method,
            path=path,
            tag=tag,
            summary=summary,
            admission=admission or admission_for(NEEDS[endpoint.__name__]),
            takes=None if takes is NoneType else TypeAdapter(takes),
            body=None if is_query else TypeAdapter(body),
            headers=headers,
            accepts=accepts,
            body_required=body_required,
            formats=formats,
            answers=answers,
            status=status,
            problems=problems,
            responses=responses or {},
            secrets=secrets,
            answer_headers=answer_headers,
            endpoint=endpoint,
        )

    return declare


def operations_of(module: object) -> list[Operation]:
    """The operations that a module declares, in its order."""
    return [member for member in vars(module).values() if isinstance(member, Operation)]
