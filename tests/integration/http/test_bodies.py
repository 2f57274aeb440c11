"""Hostile and broken bodies: the server refuses each with a problem, and none breaks it."""

from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient

from tests.support.http.directory import ADA

JSON = {"Content-Type": "application/json"}


async def post(client: AsyncClient, content: bytes, **headers: str) -> tuple[int, str]:
    answer = await client.post("/v1/users", content=content, headers={**JSON, **headers})
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["detail"]


def with_attributes(json: str) -> bytes:
    return b'{"name": "Ada", "email": "ada@example.org", "attributes": %s}' % json.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{'name': 'Ada'}",
        b'{"name": "Ada",}',
        b'{"name": "A\nda"}',
        b'{"name": "\\x41"}',
        b'{"name": "\\u00"}',
        b"\xef\xbb\xbf{}",
        b'{"name": "\xff"}',
        b'{"name": "\xed\xa0\x80"}',
        '{"name": "Ada"}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\0",
    ],
)
async def test_a_body_that_is_not_json_is_malformed(admin: AsyncClient, content: bytes) -> None:
    status, _ = await post(admin, content)
    assert status == 400


@pytest.mark.parametrize(
    ("json", "detail"),
    [
        ("NaN", "NaN is not JSON."),
        ("[-Infinity]", "-Infinity is not JSON."),
        ('{"a": 1, "a": 1}', "An object has a key twice."),
        ('[{"a": 1, "\\u0061": 2}]', "An object has a key twice."),
        ("1e400", "Numbers must be finite and within ±2⁵³."),
        ("9007199254740993", "Numbers must be finite and within ±2⁵³."),
        ("9007199254740993.0", "Numbers must be finite and within ±2⁵³."),
        ("9007199254740992.000000000000000001", "Numbers must be finite and within ±2⁵³."),
        ("-9007199254740993e0", "Numbers must be finite and within ±2⁵³."),
        ("90071992547409930e-1", "Numbers must be finite and within ±2⁵³."),
        ("1e9999999999999999999", "Numbers must be finite and within ±2⁵³."),
        ("-1e16", "Numbers must be finite and within ±2⁵³."),
        ("1" * 10_000, "Numbers must be finite and within ±2⁵³."),
        ('"\\u0000"', "Text must not contain U+0000 or lone surrogates."),
        ('{"\\u0000": 1}', "Text must not contain U+0000 or lone surrogates."),
        ('["\\ud800"]', "Text must not contain U+0000 or lone surrogates."),
        ('{"a": "\\uDC00x"}', "Text must not contain U+0000 or lone surrogates."),
        ("[" * 40 + "]" * 40, "The body is more than 32 levels deep."),
    ],
)
async def test_json_that_two_parsers_could_read_differently_is_malformed(
    admin: AsyncClient, json: str, detail: str
) -> None:
    assert await post(admin, with_attributes(json)) == (400, detail)


@pytest.mark.parametrize(
    "json",
    [
        '{"n": 9007199254740992}',
        '{"n": -9007199254740992.0}',
        '{"text": "\\ud83d\\ude00 \\\\u0000"}',
        '{"brackets": "' + "[{" * 50 + '"}',
        '{"wide": [' + ",".join(["[]"] * 200) + "]}",
    ],
)
async def test_json_at_the_limits_is_accepted(admin: AsyncClient, json: str) -> None:
    answer = await admin.post("/v1/users", content=with_attributes(json), headers=JSON)
    assert answer.status_code == 201, answer.text


async def test_a_problem_never_repeats_what_was_sent(admin: AsyncClient) -> None:
    answer = await admin.post("/v1/users", content=b'{"name": "Secret"', headers=JSON)
    assert "Secret" not in answer.text


@pytest.mark.parametrize("json", ["[]", "null", '"text"', "1", "true"])
async def test_a_body_must_be_an_object(admin: AsyncClient, json: str) -> None:
    answer = await admin.post("/v1/users", content=json.encode(), headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "#", "detail": "Must be an object."}]


async def test_all_wrong_fields_are_reported_at_once(admin: AsyncClient) -> None:
    body: dict[str, object] = {
        "name": " ",
        "email": 7,
        "role": "Owner!",
        "external_id": "",
        "attributes": [],
        "id": "no-uuid",
        "a/b~c": 1,
    }
    answer = await admin.post("/v1/users", json=body)
    assert answer.status_code == 422
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert pointers == [
        "#/name",
        "#/email",
        "#/role",
        "#/external_id",
        "#/attributes",
        "#/id",
        "#/a~1b~0c",
    ]


async def test_parameters_fields_and_headers_are_checked_together(admin: AsyncClient) -> None:
    headers = {"Idempotency-Key": "two words", "Rollbook-On-Behalf-Of": ""}
    answer = await admin.post("/v1/users?dry_run=1", json={"name": "Ada"}, headers=headers)
    pointers = [error["pointer"] for error in answer.json()["errors"]]
    assert pointers == ["dry_run", "#/email", "Rollbook-On-Behalf-Of", "Idempotency-Key"]


async def test_many_unknown_fields_are_one_error(admin: AsyncClient) -> None:
    answer = await admin.post("/v1/users", json={f"f{number}": 1 for number in range(10_000)})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#"]


async def test_missing_fields_are_named(admin: AsyncClient) -> None:
    answer = await admin.put("/v1/users/018f0000-0000-7000-8000-000000000009", json={})
    assert answer.json()["errors"] == [
        {"pointer": f"#/{name}", "detail": "Is required."}
        for name in ("name", "email", "role", "external_id", "attributes")
    ]


@pytest.mark.parametrize(
    "user_id",
    [
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        "018f00000000700080000000000000ff",
        "{018f0000-0000-7000-8000-0000000000ff}",
        "018f0000-0000-7000-0000-0000000000ff",
    ],
)
async def test_an_id_must_be_a_uuid_in_its_usual_form(admin: AsyncClient, user_id: str) -> None:
    answer = await admin.post("/v1/users", json={**ADA, "id": user_id})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/id"]


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/jsonp", "application/json; charset=latin-1", "multipart/form-data"],
)
async def test_another_media_type_is_not_supported(admin: AsyncClient, content_type: str) -> None:
    status, _ = await post(admin, b"{}", **{"Content-Type": content_type})
    assert status == 415


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", 'application/json; charset="UTF-8"'],
)
async def test_the_media_type_may_be_written_in_any_valid_way(
    admin: AsyncClient, content_type: str
) -> None:
    headers = {"Content-Type": content_type}
    content = b'{"name": "Ada", "email": "ada@example.org"}'
    assert (await admin.post("/v1/users", content=content, headers=headers)).status_code == 201


async def test_a_body_without_a_type_is_not_supported(admin: AsyncClient) -> None:
    answer = await admin.post("/v1/users", content=b"{}")
    assert answer.status_code == 415
    assert answer.json()["accepted"] == ["application/json"]
    assert answer.headers["Accept"] == "application/json"


async def test_a_compressed_body_is_not_supported(admin: AsyncClient) -> None:
    status, _ = await post(admin, b"{}", **{"Content-Encoding": "gzip"})
    assert status == 415


@pytest.mark.parametrize("encoding", ["", "identity", "Identity"])
async def test_a_body_with_the_identity_encoding_is_accepted(
    admin: AsyncClient, encoding: str
) -> None:
    headers = {**JSON, "Content-Encoding": encoding}
    content = b'{"name": "Ada", "email": "ada@example.org"}'
    assert (await admin.post("/v1/users", content=content, headers=headers)).status_code == 201


async def test_a_body_with_too_large_a_content_length_is_refused(admin: AsyncClient) -> None:
    status, _ = await post(admin, b" " * (1024 * 1024 + 1))
    assert status == 413


async def test_a_body_without_a_content_length_is_limited_too(admin: AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b" " * 64 * 1024

    answer = await admin.post("/v1/users", content=endless(), headers=JSON)
    assert answer.status_code == 413
    assert sent <= 18


async def test_a_chunked_body_is_read_completely(admin: AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"name": "Ada", '
        yield b'"email": "ada@example.org"}'

    answer = await admin.post("/v1/users", content=chunks(), headers=JSON)
    assert answer.status_code == 201


async def test_the_content_type_of_an_empty_body_is_ignored(admin: AsyncClient) -> None:
    user = (await admin.post("/v1/users", json=ADA)).json()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await admin.post(f"/v1/users/{user['id']}/suspend", headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize("content", [b"", b"{}", b'{"reason": null}', b'{"reason": "on leave"}'])
async def test_a_command_without_required_fields_takes_an_empty_body(
    admin: AsyncClient, content: bytes
) -> None:
    user = (await admin.post("/v1/users", json=ADA)).json()
    headers = JSON if content else {}
    answer = await admin.post(f"/v1/users/{user['id']}/suspend", content=content, headers=headers)
    assert answer.status_code == 200
    assert answer.json()["status"] == "suspended"


@pytest.mark.parametrize("reason", ["x" * 501, 7, "\u202e"])
async def test_a_reason_is_checked(admin: AsyncClient, reason: object) -> None:
    path = "/v1/users/018f0000-0000-7000-8000-000000000009/suspend"
    answer = await admin.post(path, json={"reason": reason})
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/reason"]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("9007199254740992.0", 9007199254740992.0),
        ("-9007199254740992", -9007199254740992),
        ("-0.0", 0),
        ("-0e5", 0),
        ("-0", 0),
    ],
)
async def test_numbers_at_the_limits_are_kept(
    admin: AsyncClient, written: str, kept: float
) -> None:
    body = f'{{"name": "Ada", "email": "ada@example.org", "attributes": {{"n": {written}}}}}'
    created = await admin.post("/v1/users", content=body, headers=JSON)
    assert created.status_code == 201, created.text
    assert created.json()["attributes"] == {"n": kept}
    assert '"n":-0' not in created.text
