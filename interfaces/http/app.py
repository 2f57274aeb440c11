"""The HTTP application: the operations, the rules they share, and the pages that describe them."""

from functools import cache
from typing import Final

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from domain.errors import DomainError
from interfaces.http.docs import add_pages
from interfaces.http.errors import answer_error
from interfaces.http.events import EVENTS
from interfaces.http.health import HEALTH
from interfaces.http.middleware import CommonRules
from interfaces.http.openapi import document
from interfaces.http.operations import Operation, mount
from interfaces.http.overview import OVERVIEW
from interfaces.http.refusals import Refusal
from interfaces.http.services import Services
from interfaces.http.tickets import TICKETS
from interfaces.http.users import USERS

OPERATIONS: Final[tuple[Operation, ...]] = (*USERS, *EVENTS, *TICKETS, *OVERVIEW, *HEALTH)


def create_app(services: Services) -> FastAPI:
    """The application over its services, which must be open already and outlive it.

    It connects to nothing by itself, and knows no settings.
    """
    app = FastAPI(
        # Pages, errors and slashes are ours: FastAPI's would load from elsewhere or redirect.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # It would record query strings and the messages of exceptions, which may tell about people.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        exception_handlers=dict.fromkeys((DomainError, Refusal, HTTPException), answer_error),
        middleware=[
            Middleware(CommonRules, version=services.version, new_id=services.new_id),
        ],
    )
    mount(app, services, OPERATIONS)

    @cache
    def description() -> bytes:
        answers = [operation.answers for operation in OPERATIONS if operation.answers]
        bodies = [operation.body for operation in OPERATIONS if operation.body]
        return msgspec.json.encode(document(app, answers, bodies, services.version))

    add_pages(app, description)
    return app
