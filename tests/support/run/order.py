"""Selects and sorts the tests: the longest files run first, so that the workers end together."""

from typing import Final

import pytest
from xdist.scheduler import LoadFileScheduling  # pyright: ignore[reportMissingTypeStubs]

from tests.support.run.workers import is_alone
from tests.support.servers.postgres import scale

# One worker runs all of them, so only one RabbitMQ starts; a start takes as long as many tests.
_WITH_RABBITMQ: Final = frozenset(
    (
        "tests/contracts/test_bus.py",
        "tests/contracts/test_event_bell.py",
        "tests/e2e/messaging/test_chaos.py",
        "tests/e2e/test_erasure.py",
        "tests/e2e/test_frozen.py",
        "tests/e2e/test_roles.py",
        "tests/e2e/test_roles_killed.py",
        "tests/e2e/test_servers_away.py",
        "tests/e2e/messaging/test_up_with_rabbitmq.py",
        "tests/integration/messaging/test_ending_processes.py",
        "tests/integration/messaging/test_full_queues.py",
        "tests/integration/messaging/test_newest_event.py",
        "tests/integration/messaging/test_outside_consumer.py",
        "tests/integration/messaging/test_relay.py",
        "tests/integration/messaging/test_relay_watch.py",
        "tests/integration/telemetry/test_readiness.py",
    )
)
# Measured: each file takes more than 10 s.
_LONGEST: Final = (
    "tests/e2e/openapi/test_schemathesis.py",
    "tests/e2e/test_up.py",
    "tests/e2e/test_front.py",
    "tests/e2e/test_master_keys.py",
    "tests/integration/jobs/test_dead_workers.py",
    "tests/integration/event_store/test_postgres_away.py",
    "tests/integration/http/test_hostile_strings.py",
    "tests/integration/event_store/test_writer_faults.py",
    "tests/integration/jobs/test_outages.py",
    "tests/e2e/test_import.py",
    "tests/e2e/openapi/test_generated_clients.py",
    "tests/e2e/test_fresh_clone.py",
    "tests/integration/views/test_list_plans.py",
    "tests/integration/exports/test_exports.py",
    "tests/integration/cache/test_cached_views.py",
    "tests/integration/views/test_verify_under_load.py",
    "tests/e2e/test_killed.py",
    "tests/e2e/test_rebuilds.py",
    "tests/e2e/test_verify_command.py",
    "tests/integration/views/test_rebuild_killed.py",
    "tests/integration/views/test_projectors.py",
    "tests/integration/event_store/test_failover.py",
    "tests/integration/cache/test_model.py",
    "tests/integration/views/test_verify.py",
    "tests/integration/embedded/test_postgres.py",
    "tests/e2e/test_exports.py",
    "tests/integration/embedded/test_accounts.py",
)
_LAST_FOLDERS: Final = ("tests/e2e/", "tests/integration/", "tests/contracts/")


class FileScheduling(LoadFileScheduling):
    """Gives whole files to a worker, and all files that use RabbitMQ to the same worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "rabbitmq" if file in _WITH_RABBITMQ else file


def select_and_sort(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests marked `long` unless ROLLBOOK_TEST_SCALE is above 1, and sort the rest."""
    if scale() <= 1:
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]
    items.sort(key=_sort_key)


def _sort_key(item: pytest.Item) -> int:
    file = item.nodeid.split("::", 1)[0]
    if is_alone(item):
        return 0
    if file in _WITH_RABBITMQ:
        return 1
    if file in _LONGEST:
        return 2 + _LONGEST.index(file)
    folders = (place for place, folder in enumerate(_LAST_FOLDERS) if file.startswith(folder))
    return 2 + len(_LONGEST) + next(folders, len(_LAST_FOLDERS))
