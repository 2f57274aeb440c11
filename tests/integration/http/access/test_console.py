"""The plain console: its page, its files, and the way to it."""

import re
from typing import Final

import pytest
from httpx2 import AsyncClient

CONSOLE: Final = "/console/"
FILES: Final = {
    CONSOLE: "text/html; charset=utf-8",
    "/console/console.js": "text/javascript; charset=utf-8",
    "/console/console.css": "text/css; charset=utf-8",
}
BROWSER: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(("path", "media_type"), FILES.items())
async def test_its_files_need_no_caller_and_load_nothing_else(
    anonymous: AsyncClient, path: str, media_type: str
) -> None:
    answer = await anonymous.get(path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?://", answer.text)


async def test_the_page_has_no_inline_script_or_style(anonymous: AsyncClient) -> None:
    page = (await anonymous.get(CONSOLE)).text
    assert re.findall(r"<script[^>]*>", page) == ['<script src="console.js">']
    assert "<style" not in page
    assert not re.search(r"\s(?:style|on\w+)=", page)
    for name in re.findall(r'(?:src|href)="([\w.]+)"', page):
        assert (await anonymous.get(f"{CONSOLE}{name}")).status_code == 200


async def test_the_page_names_all_of_its_parts_for_screen_readers(anonymous: AsyncClient) -> None:
    page = (await anonymous.get(CONSOLE)).text
    ids = set(re.findall(r'\sid="([\w-]+)"', page))
    named = re.findall(r'\s(?:for|aria-labelledby|aria-describedby)="([\w-]+)"', page)
    assert set(named) <= ids
    assert set(re.findall(r'<input\s+id="([\w-]+)"', page)) <= set(named)
    script = (await anonymous.get("/console/console.js")).text
    assert set(re.findall(r'\bat\("([\w-]+)"\)', script)) <= ids


async def test_the_script_never_makes_markup_of_text(anonymous: AsyncClient) -> None:
    script = (await anonymous.get("/console/console.js")).text
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval", script)
    assert not re.search(r"localStorage|sessionStorage|document\.cookie", script)


async def test_a_browser_is_sent_to_the_console(anonymous: AsyncClient) -> None:
    for path, headers in (("/", {"Accept": BROWSER}), ("/console", {})):
        answer = await anonymous.get(path, headers=headers)
        assert (answer.status_code, answer.headers["Location"]) == (307, CONSOLE)


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html;q=0", "x" * 2000])
async def test_another_client_gets_links_to_the_rest(anonymous: AsyncClient, accept: str) -> None:
    answer = await anonymous.get("/", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Vary"]) == (200, "Accept")
    links = answer.json()
    assert links["console"] == CONSOLE
    for path in links.values():
        assert (await anonymous.get(path)).status_code in (200, 401)
