"""A process that registers people and erases given people, until its input ends.

Arguments: the database and the master keys. Input: the ids of the people to erase, as JSON. It
prints "ready" first, and at the end the ids of the registered and the erased people, as JSON.
"""

import asyncio
import json
import sys
from uuid import UUID

import uvloop
from uuid_utils.compat import uuid7

from application.users.service import UserService
from domain.user.commands import EraseUser, RegisterUser
from domain.values import EmailAddress, PersonName, Role
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.log.drafts import context

CALLERS = 8


async def main(database_url: str, masters: str) -> None:
    async with open_event_store(database_url, MasterKeys.parse(masters)) as store:
        people = People(UserService(store.log))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        to_erase = await asyncio.to_thread(sys.stdin.readline)
        remaining = [UUID(person) for person in json.loads(to_erase)]
        async with asyncio.TaskGroup() as callers:
            input_end = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
            for _ in range(CALLERS):
                callers.create_task(people.register_and_erase(remaining, input_end))
    json.dump({"registered": people.registered, "erased": people.erased}, sys.stdout)


class People:
    def __init__(self, users: UserService) -> None:
        self.registered: list[str] = []
        self.erased: list[str] = []
        self._users = users

    async def register_and_erase(self, remaining: list[UUID], input_end: asyncio.Task[str]) -> None:
        while remaining or not input_end.done():
            if remaining:
                person = remaining.pop()
                await self._users.execute(person, EraseUser(), context())
                self.erased.append(str(person))
            newcomer = uuid7()
            await self._users.execute(newcomer, registration(newcomer), context())
            self.registered.append(str(newcomer))


def registration(user_id: UUID) -> RegisterUser:
    return RegisterUser(
        user_id=user_id,
        name=PersonName.parse("Åsa Öberg"),
        email=EmailAddress.parse(f"{user_id}@example.com"),
        role=Role.parse("member"),
    )


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
