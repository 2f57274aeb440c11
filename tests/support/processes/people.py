"""A process that registers people and erases those it is told to, until its input ends.

Given: the database, the master keys; on its input, the ids of people to erase as JSON. It says
"ready" first and at the end, as JSON, whom it registered and erased.
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
        left = [UUID(person) for person in json.loads(to_erase)]
        async with asyncio.TaskGroup() as callers:
            ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
            for _ in range(CALLERS):
                callers.create_task(people.come_and_go(left, ended))
    json.dump({"registered": people.registered, "erased": people.erased}, sys.stdout)


class People:
    def __init__(self, users: UserService) -> None:
        self.registered: list[str] = []
        self.erased: list[str] = []
        self._users = users

    async def come_and_go(self, left: list[UUID], ended: asyncio.Task[str]) -> None:
        while left or not ended.done():
            if left:
                person = left.pop()
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
