"""Exports of a running Rollbook: by command, over HTTP, interrupted, and complete."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, run_rollbook, until

NAMES = ["=cmd|'/C calc'!A0", "Ada, Countess", 'Zoë "Z" Öz']


@pytest.fixture(scope="module")
def rollbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRollbook]:
    with RunningRollbook(prepared(tmp_path_factory.mktemp("exports") / "data")) as rollbook:
        with client_of(rollbook) as client:
            for n, name in enumerate(NAMES):
                user = {"name": name, "email": f"user{n}@example.org"}
                assert client.post("/v1/users", json=user).status_code == 201
        yield rollbook


def client_of(rollbook: RunningRollbook) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {rollbook.token}"}
    return httpx2.Client(base_url=rollbook.url, headers=headers, trust_env=False, timeout=30)


def export(rollbook: RunningRollbook, *arguments: str, token: str = "") -> Any:
    settings = {"ROLLBOOK_URL": rollbook.url, "ROLLBOOK_TOKEN": token or rollbook.token}
    return run_rollbook("export", *arguments, **settings)


def test_only_the_owner_can_read_the_written_file(
    rollbook: RunningRollbook, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    done = export(rollbook, "users", "--sort", "email", "--output", str(file))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.strip() == f"3 rows: {file}"
    assert file.stat().st_mode & 0o777 == 0o600
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["name"] for row in rows] == [f"'{NAMES[0]}", NAMES[1], NAMES[2]]
    assert os.listdir(tmp_path) == ["people.csv"]


def test_without_an_output_file_the_rows_go_to_standard_output(rollbook: RunningRollbook) -> None:
    done = export(rollbook, "audit", "--format", "ndjson", "--types", "user.registered")
    assert (done.returncode, done.stderr) == (0, "")
    items = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item["changes"]["name"]["to"] for item in items] == NAMES[::-1]


def test_json_lines_show_the_job_and_its_result(rollbook: RunningRollbook, tmp_path: Path) -> None:
    file = tmp_path / "none.ndjson"
    arguments = ("users", "--q", "nobody", "--format", "ndjson", "-o", str(file), "--json")
    done = export(rollbook, *arguments)
    assert done.returncode == 0
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["state"], last["result"]["rows"]) == ("succeeded", 0)
    assert file.read_bytes() == b""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["users", "--role", "No!"], 1, "filters/role"),
        (["audit", "--from", "yesterday"], 1, "filters/from"),
        (["users", "--output", "/nowhere/at/all.csv"], 1, "cannot be written"),
        (["users", "--format", "xml"], 2, "xml"),
        (["users", "--json"], 2, "--output"),
        (["tokens"], 2, "tokens"),
    ],
)
def test_an_impossible_export_fails_with_a_message(
    rollbook: RunningRollbook, arguments: list[str], code: int, message: str
) -> None:
    done = export(rollbook, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_refused_token_is_reported(rollbook: RunningRollbook) -> None:
    done = export(rollbook, "users", token="x" * 40)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the token is refused" in done.stderr


def test_an_incomplete_download_fails_and_leaves_no_file(
    rollbook: RunningRollbook, tmp_path: Path
) -> None:
    """The result of the job says nine rows; the stored file has three."""
    file = tmp_path / "people.csv"
    url = EmbeddedPostgres(rollbook.data_dir / "postgres").url
    with client_of(rollbook) as client, psycopg.connect(url, autocommit=True) as connection:
        job = client.post("/v1/exports", json={"what": "users", "format": "csv"}).json()
        path = f"/v1/jobs/{job['id']}"
        until(lambda: client.get(path).json()["state"] == "succeeded")
        assert client.get(f"{path}/result").text.count("\r\n") == 4
        connection.execute(
            "UPDATE jobs SET result = result || '{\"rows\": 9}' WHERE kind = 'export'"
        )
        with pytest.raises(httpx2.RemoteProtocolError):
            client.get(f"{path}/result")
        assert client.head(f"{path}/result").status_code == 200
        connection.execute("DELETE FROM exports")
        gone = client.get(f"{path}/result")
        assert (gone.status_code, "24 hours" in gone.json()["detail"]) == (404, True)
        # The export of the command gets the same wrong row count.
        connection.execute(
            "CREATE FUNCTION lengthen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "NEW.result = NEW.result || '{\"rows\": 9}'; RETURN NEW; END $$; "
            "CREATE TRIGGER lengthened BEFORE UPDATE ON jobs FOR EACH ROW "
            "WHEN (NEW.kind = 'export' AND NEW.result IS NOT NULL) EXECUTE FUNCTION lengthen()"
        )
        try:
            done = export(rollbook, "users", "--output", str(file))
        finally:
            connection.execute("DROP TRIGGER lengthened ON jobs")
    assert done.returncode == 1
    assert "the connection failed" in done.stderr
    assert list(tmp_path.iterdir()) == []
