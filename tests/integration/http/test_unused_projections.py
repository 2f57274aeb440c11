"""Dropping a projection that no release has, over HTTP: permissions, answers and refusals."""

import pytest

from tests.support.http.directory import Directory


async def test_what_is_stored_of_an_unknown_projection_can_be_dropped_once(
    directory: Directory,
) -> None:
    directory.stored_projections.stored.add("left-over")
    async with directory.as_("admin") as admin:
        dropped = await admin.delete("/v1/projections/left-over")
        again = await admin.delete("/v1/projections/left-over")
    assert (dropped.status_code, dropped.content) == (204, b"")
    assert dropped.headers["Rollbook-Position"] == "0"
    assert again.status_code == 404
    assert await directory.stored_projections.names() == ["headcount", "users"]


@pytest.mark.parametrize("name", ["users", "other"])
async def test_a_projection_that_a_release_has_is_not_dropped(
    directory: Directory, name: str
) -> None:
    directory.stored_projections.stored.add("other")
    directory.stored_projections.led.add("other")
    async with directory.as_("admin") as admin:
        refused = await admin.delete(f"/v1/projections/{name}")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"] == "name"
    assert "release" in refused.json()["errors"][0]["detail"]
    assert name in await directory.stored_projections.names()


async def test_only_admins_drop_projections(directory: Directory) -> None:
    directory.stored_projections.stored.add("left-over")
    async with directory.as_("writer") as writer:
        assert (await writer.delete("/v1/projections/left-over")).status_code == 403
    assert "left-over" in await directory.stored_projections.names()
