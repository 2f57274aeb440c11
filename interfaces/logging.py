"""Logs as JSON lines on standard error, in one format for Rollbook and all libraries.

No personal data is logged: an exception is written as its type and place, without its message,
because a message may quote a value. Names of people are never passed as fields.
"""

import asyncio
import logging
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

MAX_FRAMES: Final = 12
# They log each attempt to reconnect; our adapters log once that a server is unreachable.
NOISY_LIBRARIES: Final = ("aio_pika", "aiormq", "psycopg")


def configure_logging(level: str) -> None:
    """Send all log lines of this process, from `level` on, to standard error.

    Context in `structlog.contextvars`, such as `request_id`, is on every line of a task. Other
    libraries log from warnings on, unless `level` is "debug": their other lines contain addresses
    with query strings.
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
    handler.addFilter(hide_values)
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
    for name in NOISY_LIBRARIES:
        logging.getLogger(name).setLevel(lowest if level == "debug" else logging.CRITICAL)


def hide_values(record: logging.LogRecord) -> bool:
    """Replace what a library puts into its message by the type, except text and numbers.

    An exception's message and a connection's repr name hosts, accounts and values. Always true.
    """
    if not isinstance(record.msg, str):
        record.msg, record.args = kind_of(record.msg), ()
    elif isinstance(record.args, Mapping):
        record.args = {name: _plain(value) for name, value in record.args.items()}
    elif record.args:
        record.args = tuple(map(_plain, record.args))
    return True


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | None) else kind_of(value)


def log_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle an error that no task awaited; the loop's own handler quotes the message."""
    error = context.get("exception")
    structlog.get_logger("asyncio").error(str(context["message"]), exc_info=error)


def describe_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by types and places, without messages; see `describe`."""
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
    """The exception and its causes, outermost first; a group has its members."""
    chain: list[dict[str, Any]] = []
    following: BaseException | None = error
    while following is not None and len(chain) < MAX_FRAMES:
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
            part["group"] = [describe(one) for one in group.exceptions[:MAX_FRAMES]]
        chain.append(part)
        hidden = following.__suppress_context__
        following = following.__cause__ or (None if hidden else following.__context__)
    return chain


def places(traceback: TracebackType | None) -> list[str]:
    """The frames that an exception passed, innermost last: file, line and function."""
    found: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        found.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return found[-MAX_FRAMES:]


def to_json(event: EventDict, **_: object) -> bytes:
    return orjson.dumps(event, default=kind_of, option=orjson.OPT_NON_STR_KEYS)


def kind_of(value: object) -> str:
    """The type of a value that is not JSON: its repr may name a person."""
    return f"<{type(value).__qualname__}>"


def to_text(event: EventDict, **_: object) -> str:
    return to_json(event).decode()
