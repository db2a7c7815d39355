"""Calls of the admin API over a socket."""

import io
import json
from dataclasses import dataclass
from typing import Any

from aiohttp.test_utils import TestClient
from yarl import URL


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    headers: dict[str, str]
    text: str

    @property
    def error(self) -> str:
        """The code of an error."""
        return str(self.body["error"]["code"])

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


class AdminApi:
    """Sends requests with a master key; `key` None sends none."""

    def __init__(self, client: TestClient[Any, Any], key: str | None) -> None:
        self._client = client
        self._headers = {"content-type": "application/json"}
        if key is not None:
            self._headers["authorization"] = f"Bearer {key}"

    async def call(
        self, method: str, path: str, body: object = None, *, raw: bytes | None = None
    ) -> Answer:
        """`path` is sent as it is, percent signs included."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        sent = None if data is None else io.BytesIO(data)  # aiohttp warns of large bytes
        url = URL(path, encoded=True)
        async with self._client.request(method, url, data=sent, headers=self._headers) as response:
            text = await response.text()
            return Answer(
                response.status,
                json.loads(text) if text else None,
                {name.lower(): value for name, value in response.headers.items()},
                text,
            )

    async def get(self, path: str) -> Answer:
        return await self.call("GET", path)

    async def post(self, path: str, body: object = None) -> Answer:
        return await self.call("POST", path, body)

    async def patch(self, path: str, body: object) -> Answer:
        return await self.call("PATCH", path, body)

    async def put(self, path: str, body: object) -> Answer:
        return await self.call("PUT", path, body)

    async def delete(self, path: str) -> Answer:
        return await self.call("DELETE", path)

    async def made(self, path: str, body: object) -> Any:
        """The record that a POST makes, which must succeed."""
        answer = await self.post(path, body)
        assert answer.status == 201, answer.text
        return answer.body

    async def listed(self, path: str) -> list[Any]:
        """All that a list holds, page by page."""
        found: list[Any] = []
        cursor = ""
        while True:
            sign = "&" if "?" in path else "?"
            answer = await self.get(f"{path}{sign}cursor={cursor}" if cursor else path)
            assert answer.status == 200, answer.text
            found += answer.body["data"]
            if (cursor := answer.body["next_cursor"]) is None:
                return found


SIMULATED = {"name": "sim", "type": "simulator"}
PUBLIC = {"name": "acme", "type": "openai_compatible", "base_url": "https://api.acme.invalid/v1"}
