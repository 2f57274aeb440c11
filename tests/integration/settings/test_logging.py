"""Log lines of all loggers are JSON of one shape, without personal data."""

import asyncio
import json
import logging
from typing import Any

import pytest
import structlog

from application.errors import Unavailable
from infrastructure.database import Database
from interfaces.logging import configure_logging, log_loop_error
from tests.support.run.logs import log_to_captured_output

Lines = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def restored() -> Any:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    log_to_captured_output()


def lines(capture: pytest.CaptureFixture[str]) -> Lines:
    return [json.loads(line) for line in capture.readouterr().err.splitlines()]


def test_our_lines_and_those_of_libraries_have_one_shape(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")
    structlog.get_logger().info("ready", port=8000)
    logging.getLogger("library").warning("odd: %s", 3)
    ours, theirs = lines(capsys)
    assert (ours["event"], ours["port"], ours["level"]) == ("ready", 8000, "info")
    assert (theirs["event"], theirs["logger"], theirs["level"]) == ("odd: 3", "library", "warning")
    assert ours["timestamp"].endswith("Z")
    assert theirs["timestamp"].endswith("Z")


def test_lower_levels_and_info_lines_of_libraries_are_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")
    structlog.get_logger().debug("detail")
    logging.getLogger("uvicorn.error").info("/v1/stream?ticket=secret accepted")
    assert lines(capsys) == []


def test_everything_a_task_logs_carries_its_request_id(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.get_logger().info("ours")
        logging.getLogger("library").error("theirs")
    structlog.get_logger().info("after")
    ours, theirs, after = lines(capsys)
    assert ours["request_id"] == theirs["request_id"] == "r-1"
    assert "request_id" not in after


def test_a_message_of_a_library_has_no_text_of_an_exception_or_a_connection(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")
    refused = OSError('connection to "grace@10.0.0.7" failed: password authentication failed')
    library = logging.getLogger("library")
    library.warning("error connecting in %r: %s", "pool-1", refused)
    library.warning("%(what)s after %(seconds).1f s", {"what": refused, "seconds": 2})
    library.error(refused)
    library.warning("100 %")
    first, second, third, last = [line["event"] for line in lines(capsys)]
    assert first == "error connecting in 'pool-1': <OSError>"
    assert second == "<OSError> after 2.0 s"
    assert third == "<OSError>"
    assert last == "100 %"


async def test_a_server_that_refuses_connections_is_logged_without_the_text_of_the_driver(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")
    url = "postgresql://grace:hush@127.0.0.1:1/people"
    async with Database.open(url, size=2) as database:
        with pytest.raises(Unavailable):
            await database.rows("SELECT 1")
    logging.getLogger("psycopg").warning("error ignored in rollback on %s", url)
    assert capsys.readouterr().err == ""


def test_an_exception_is_logged_with_type_and_place_without_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")
    try:
        try:
            raise KeyError("grace@example.org")
        except KeyError as error:
            raise ValueError("Grace Hopper") from error
    except ValueError:
        structlog.get_logger().exception("failed")
        logging.getLogger("library").exception("failed")
    output = capsys.readouterr().err
    assert "Grace" not in output
    assert "grace" not in output
    for line in output.splitlines():
        outer, inner = json.loads(line)["exception"]
        assert outer["type"] == "builtins.ValueError"
        assert inner["type"] == "builtins.KeyError"
        assert "test_logging.py" in outer["at"][-1]


def test_a_group_of_exceptions_is_logged_with_its_members(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")
    structlog.get_logger().error(
        "failed", exc_info=ExceptionGroup("Grace", [KeyError("Grace"), ValueError("Hopper")])
    )
    (line,) = lines(capsys)
    members = [member[0]["type"] for member in line["exception"][0]["group"]]
    assert members == ["builtins.KeyError", "builtins.ValueError"]
    assert "Grace" not in json.dumps(line)


def test_an_error_of_a_task_that_is_not_awaited_is_logged_without_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info")

    async def fail() -> None:
        raise ValueError("Grace Hopper")

    async def forget() -> None:
        asyncio.get_running_loop().set_exception_handler(log_loop_error)
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task
        await asyncio.sleep(0)

    asyncio.run(forget())
    (line,) = lines(capsys)
    assert line["event"] == "Task exception was never retrieved"
    assert line["exception"][0]["type"] == "builtins.ValueError"
    assert "Grace" not in json.dumps(line)


def test_a_value_that_is_not_json_is_logged_by_its_type(capsys: pytest.CaptureFixture[str]) -> None:
    class Person:
        def __repr__(self) -> str:
            return "Grace Hopper"

    configure_logging("info")
    structlog.get_logger().info("odd", person=Person())
    (line,) = lines(capsys)
    assert line["person"].endswith("Person>")
    assert "Grace" not in json.dumps(line)
