"""The reaction in `docs/reactions.md` needs its file and one line of the registry, and nothing else."""

import asyncio
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from httpx2 import AsyncClient

from application.reactions.reaction import Reaction
from application.reactions.registry import REACTIONS
from interfaces.composition import reaction_admin, reactions
from interfaces.roles import Roles
from tests.support.documents import listing
from tests.support.http.directory import ADA
from tests.support.http.in_process import in_process

ROLES: Roles = frozenset({"api", "projector", "worker"})


@pytest.fixture
def documented(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Reaction:
    """The reaction of the page; its folders are in a directory of the test."""
    module = ModuleType("documented_reaction")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(listing("reactions.md", "python"), "documented.py", "exec"), module.__dict__)
    monkeypatch.setattr(module, "HOMES", tmp_path)
    reaction: Reaction = module.__dict__["home_folder"]
    return reaction


async def test_the_reaction_of_the_page_runs(
    documented: Reaction, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for composition in (reactions, reaction_admin):
        # The line of the registry.
        monkeypatch.setattr(composition, "REACTIONS", (*REACTIONS, documented))
    async with in_process(database_url, ROLES) as client:
        async with asyncio.timeout(20):
            while (item := await shown(client, "home-folder"))["state"] != "on":
                await asyncio.sleep(0.05)
        assert item["description"] == "Makes a folder for each new user."
        assert item["types"] == ["user.registered"]
        user = (await client.post("/v1/users", json=ADA)).json()["id"]
        async with asyncio.timeout(20):
            while [each.name for each in tmp_path.iterdir()] != [user]:
                await asyncio.sleep(0.02)
        assert (await shown(client, "welcome"))["state"] == "off"
        metrics = (await client.get("/metrics")).text
        assert 'rollbook_reaction_state{reaction="home-folder",state="on"} 1.0' in metrics


async def shown(client: AsyncClient, name: str) -> dict[str, Any]:
    """The reaction, as the API lists it."""
    items = (await client.get("/v1/reactions")).json()["items"]
    return next(item for item in items if item["name"] == name)
