"""The eventsourcing library's own recorder suites, and its `Application.save`, on the append function."""

from typing import Any, cast
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError
from eventsourcing.postgres import PostgresDatastore
from eventsourcing.tests import persistence as suites

from infrastructure.event_store.library_recorder import AppendRecorder
from tests.support.servers.postgres import MASTER_KEYS


def connection_settings(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return {
        "dbname": parts.path.removeprefix("/"),
        "host": query.get("host") or parts.hostname or "",
        "port": str(query.get("port") or parts.port or 5432),
        "user": query.get("user") or parts.username or "",
        "password": parts.password or "",
    }


class _OnAppendRecorder:
    """Gives a library suite our recorder on a new database."""

    @pytest.fixture(autouse=True)
    def _database(self, database_url: str) -> Any:
        settings = connection_settings(database_url)
        self.datastore = PostgresDatastore(
            dbname=settings["dbname"],
            host=settings["host"],
            port=settings["port"],
            user=settings["user"],
            password=settings["password"],
            pool_size=2,
            max_overflow=12,
        )
        yield
        self.datastore.close()

    def create_recorder(self) -> AppendRecorder:
        return AppendRecorder(self.datastore, events_table_name="stored_events")


class TestApplicationRecorder(
    _OnAppendRecorder, suites.ApplicationRecorderTestCase[AppendRecorder]
):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNonInterleaving(_OnAppendRecorder, suites.NonInterleavingNotificationIDsBaseCase):
    pass


class Dog(Aggregate):
    @event("Registered")
    def __init__(self, name: str) -> None:
        self.name = name
        self.tricks: list[str] = []

    @event("TrickAdded")
    def add_trick(self, trick: str) -> None:
        self.tricks.append(trick)


class Kennel(Application[UUID]):
    pass


@pytest.fixture
def application(database_url: str) -> Any:
    application = Kennel(
        {
            "PERSISTENCE_MODULE": "interfaces.composition.persistence",
            "ROLLBOOK_DATABASE_URL": database_url,
            "ROLLBOOK_MASTER_KEY": MASTER_KEYS,
        }
    )
    yield application
    application.close()


def stored(application: Kennel, dog: Dog) -> Dog:
    return cast(Dog, application.repository.get(dog.id))


def test_the_library_s_application_saves_several_aggregates_in_one_transaction(
    application: Kennel,
) -> None:
    rex, ada = Dog("Rex"), Dog("Ada")
    rex.add_trick("roll over")
    recordings = application.save(rex, ada)
    assert [recording.notification.id for recording in recordings] == [1, 2, 3]
    assert stored(application, rex).tricks == ["roll over"]
    stale, bob = stored(application, ada), Dog("Bob")
    ada.add_trick("sit")
    application.save(ada)
    stale.add_trick("jump")
    with pytest.raises(IntegrityError):
        application.save(bob, stale)
    assert application.recorder.max_notification_id() == 4
