"""A request for each operation, and how its answer refuses the caller."""

import re
from collections.abc import Mapping
from typing import Any, Final

from httpx2 import Response

from interfaces.http.endpoint.operation import Operation
from tests.support.access.contract import Refusal

UNKNOWN_ID: Final = "018f0000-0000-7000-8000-00000000ffff"
_SLUGS: Final = {401: "unauthenticated", 403: "forbidden"}


def key_of(operation: Operation) -> str:
    """Its name in the contract."""
    return f"{operation.method} {operation.path}"


def request_of(operation: Operation) -> dict[str, Any]:
    """A request of the operation for what does not exist: the caller is checked before that."""
    body: Mapping[str, Any] = {} if operation.method == "GET" else {"json": {}}
    url = re.sub(r"\{\w+\}", UNKNOWN_ID, operation.path)
    return {"method": operation.method, "url": url, **body}


def refusal_of(answer: Response) -> Refusal | None:
    """How the answer refuses the caller; None if it does not."""
    if answer.status_code not in _SLUGS:
        return None
    problem = answer.json()
    assert problem["type"] == f"/problems/{_SLUGS[answer.status_code]}"
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)
    return answer.status_code, problem.get("permission")
