"""Creates webhooks over HTTP."""

from typing import Any, Final

from httpx2 import AsyncClient

ALL: Final = "/v1/webhooks"
URL: Final = "https://hooks.example.com/in/f4c1"


async def create(admin: AsyncClient, **fields: Any) -> dict[str, Any]:
    """The answer to the creation of a webhook."""
    answer = await admin.post(ALL, json={"url": URL, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()
