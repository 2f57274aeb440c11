"""A process of Rollbook: it runs its roles until it is stopped."""

import asyncio
import signal
import socket
from contextlib import AsyncExitStack
from functools import partial
from typing import Final, NoReturn

import structlog
import uvloop

from application.keys.ports import SealBroken, UnknownMasterKey
from infrastructure.event_store.opening import RestoreUnfinished, check_restored
from infrastructure.migrations import MigrationFailed, migrate
from infrastructure.server_checks import UnsuitableServer, check_server
from interfaces.cli.server.supervised import Supervised
from interfaces.composition.bootstrap import open_rollbook
from interfaces.garbage_collection import freeze_and_tune_gc
from interfaces.logging import configure_logging, log_loop_error
from interfaces.roles import Roles, in_order
from interfaces.settings import Settings, WrongSetting

HEARTBEAT_SECONDS: Final = 60.0

log = structlog.get_logger()


def serve(
    settings: Settings,
    roles: Roles,
    listener: socket.socket | None = None,
    supervised: Supervised | None = None,
) -> int:
    """Run until a signal or the end of the supervisor; return the exit code.

    The role `api` needs a listener. A supervised process migrates its database. Raises `WrongSetting` if the master keys are not the log's, or a template of mails is broken.
    """
    configure_logging(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, roles, listener, supervised))
    except (UnsuitableServer, MigrationFailed, RestoreUnfinished) as error:
        log.critical("application failed", reason=str(error))
        return 1
    except (UnknownMasterKey, SealBroken) as error:
        raise WrongSetting("ROLLBOOK_MASTER_KEY", wrong_master_key(error)) from None
    except WrongSetting:
        raise
    except Exception:
        log.critical("application failed", exc_info=True)
        return 1
    log.info("stopped", roles=in_order(roles))
    return 0


def wrong_master_key(error: UnknownMasterKey | SealBroken) -> str:
    """What is wrong with the master keys for this database."""
    if isinstance(error, UnknownMasterKey):
        return f"lacks the key with id {error.master_id}, which seals data of this database"
    return "has the key with the id that this database asks for, but it opens nothing there"


async def _serve(
    settings: Settings,
    roles: Roles,
    listener: socket.socket | None,
    supervised: Supervised | None,
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(log_loop_error)
    parent_socket = supervised and supervised.parent_socket
    stop = _stop_of(loop, parent_socket)
    url = settings.database_url.get_secret_value()
    await check_server(url)
    if supervised is not None:
        if supervised.restarted:
            # Else it would make tables in a database that a restore has just emptied.
            await check_restored(url)
        await migrate(url)
    ready = partial(_report_ready, roles, listener, parent_socket)
    opening = open_rollbook(settings, roles, supervised and supervised.high_water_file)
    async with opening as rollbook, AsyncExitStack() as stack:
        if rollbook.application is None:
            work = asyncio.create_task(_log_heartbeats(roles))
            stack.callback(work.cancel)
            ready()
        else:
            # Imported here, so that other roles load no web server.
            from interfaces.cli.server.http_server import http_server

            assert listener is not None, "the role `api` needs a listening socket"
            server = http_server(rollbook.application, listener, ready)
            work = await stack.enter_async_context(server)
        stopped = asyncio.create_task(stop.wait())
        stack.callback(stopped.cancel)
        try:
            await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            log.info("draining", roles=in_order(roles))
            rollbook.stopping.set()


def _stop_of(loop: asyncio.AbstractEventLoop, parent_socket: socket.socket | None) -> asyncio.Event:
    """Set by a signal, or when the supervisor's end of the socket is closed for any reason."""
    stop = asyncio.Event()
    for asked in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(asked, stop.set)
    if parent_socket is not None:

        def parent_ended() -> None:
            # The supervisor sends nothing, so the only thing to read is the end of the stream.
            loop.remove_reader(parent_socket)
            stop.set()

        loop.add_reader(parent_socket, parent_ended)
    return stop


def _report_ready(
    roles: Roles, listener: socket.socket | None, parent_socket: socket.socket | None
) -> None:
    where = {}
    if listener is not None:
        where = dict(zip(("address", "port"), listener.getsockname()[:2], strict=True))
    freeze_and_tune_gc()
    log.info("ready", roles=in_order(roles), **where)
    if parent_socket is not None:
        parent_socket.send(b"1")


async def _log_heartbeats(roles: Roles) -> NoReturn:
    """Log at intervals that the process is alive: without HTTP there is no other sign."""
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        log.info("alive", roles=in_order(roles))
