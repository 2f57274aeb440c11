"""A process that records the history of a user, prints its id, and waits until it is killed."""

import asyncio
import sys

import uvloop
from uuid_utils.compat import uuid7

from application.context import Context
from application.users.service import UserService
from domain.user.commands import ChangeUser, RegisterUser
from domain.values import EmailAddress, PersonName, Role
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.servers.postgres import MASTER_KEYS


async def main(database_url: str, versions: int, every: int) -> None:
    context = Context(actor="token:t", correlation_id="test")
    user_id = uuid7()
    register = RegisterUser(
        user_id=user_id,
        name=PersonName.parse("N 1"),
        email=EmailAddress.parse("n@example.com"),
        role=Role.parse("member"),
    )
    async with open_event_store(database_url, MasterKeys.parse(MASTER_KEYS)) as store:
        users = UserService(store.log, store.snapshots, snapshot_every=every)
        await users.execute(user_id, register, context)
        for version in range(2, versions + 1):
            await users.execute(user_id, ChangeUser(name=PersonName.parse(f"N {version}")), context)
        sys.stdout.write(f"{user_id}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
