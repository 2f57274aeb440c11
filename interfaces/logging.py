"""Logs as JSON lines on standard error, of one shape for our own lines and every library's.

No personal data gets in: an exception is written as its type and where it happened, never with
its message, which may quote a value. Names of people are never passed as fields.
"""

import asyncio
import logging
import sys
from types import TracebackType
from typing import Any, Final, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

FRAMES: Final = 12
# They report each try to connect again; their adapters say once that a server is away.
TALKATIVE: Final = ("aio_pika", "aiormq")


def configure_logging(level: str) -> None:
    """Send all log lines of this process, from `level` on, to standard error.

    Context that `structlog.contextvars` holds, such as `request_id`, is on every line of a task.
    Other libraries are heard from warnings on, unless everything is wanted ("debug"): below that
    they tell of addresses with their query strings.
    """
    lowest = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        describe_exception,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(serializer=to_json)],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=to_text),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(lowest if level == "debug" else max(lowest, logging.WARNING))
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(lowest if level == "debug" else logging.CRITICAL)


def log_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What an event loop calls for an error nobody awaited; its own handler quotes the message."""
    error = context.get("exception")
    structlog.get_logger("asyncio").error(str(context["message"]), exc_info=error)


def describe_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by types and places, the outermost exception first, without messages."""
    match event.pop("exc_info", None):
        case BaseException() as error:
            event["exception"] = describe(error)
        case (_, BaseException() as error, _):
            event["exception"] = describe(error)
        case True if (error := sys.exc_info()[1]) is not None:
            event["exception"] = describe(error)
        case _:
            pass
    return event


def describe(error: BaseException) -> list[dict[str, Any]]:
    """The exception and what caused it, outermost first; a group with each of its members."""
    chain: list[dict[str, Any]] = []
    following: BaseException | None = error
    while following is not None and len(chain) < FRAMES:
        kind = type(following)
        part: dict[str, Any] = {
            "type": f"{kind.__module__}.{kind.__qualname__}",
            "at": places(following.__traceback__),
        }
        code = getattr(following, "sqlstate", None)
        if code:
            part["sqlstate"] = code
        if isinstance(following, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", following)
            part["group"] = [describe(one) for one in group.exceptions[:FRAMES]]
        chain.append(part)
        hidden = following.__suppress_context__
        following = following.__cause__ or (None if hidden else following.__context__)
    return chain


def places(traceback: TracebackType | None) -> list[str]:
    """Where an exception passed, the innermost last: file, line and function."""
    found: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        found.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return found[-FRAMES:]


def to_json(event: EventDict, **_: object) -> bytes:
    return orjson.dumps(event, default=kind_of, option=orjson.OPT_NON_STR_KEYS)


def kind_of(value: object) -> str:
    """What stands for a value that is not JSON: its type, since its repr may name a person."""
    return f"<{type(value).__qualname__}>"


def to_text(event: EventDict, **_: object) -> str:
    return to_json(event).decode()
