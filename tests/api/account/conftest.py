"""A server with login and its users, and a browser that keeps cookies."""

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.auth.conftest import admin, login_settings, low_cost, password_hash, server, user
from tests.client import Client, Response

__all__ = ["admin", "login_settings", "low_cost", "password_hash", "server", "user"]

HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
    "Origin": "http://localhost",
}


class FormBrowser:
    """Opens pages and submits their forms, as a browser does. Redirects are not followed."""

    def __init__(self, client: Client, **headers: str) -> None:
        self.client = client
        self.cookies: dict[str, str] = {}
        self.attributes: dict[str, set[str]] = {}
        self.headers = {**HEADERS, **headers}

    async def open(self, path: str) -> Response:
        return await self._send("GET", path)

    async def submit(self, path: str, fields: dict[str, Any], **headers: str) -> Response:
        content_type = {"Content-Type": "application/x-www-form-urlencoded"}
        return await self._send("POST", path, urlencode(fields).encode(), **content_type, **headers)

    async def log_in(self, username: str, password: str, next_path: str = "") -> Response:
        page = await self.open(f"/login?{urlencode({'next': next_path})}")
        fields = {"csrf": csrf_of(page), "next": next_of(page), "username": username, "password": password}
        return await self.submit("/login", fields)

    async def _send(self, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        sent = {**self.headers, **(cookies if self.cookies else {}), **headers}
        response = await self.client.send(method, path, body=body, headers=sent)
        # The client joins repeated headers.
        for cookie in filter(None, response.headers.get("set-cookie", "").split(", ")):
            pair, *attributes = cookie.split("; ")
            name, _, value = pair.partition("=")
            self.attributes[name] = set(attributes)
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return response


def csrf_of(page: Response) -> str:
    return re.findall(r'name="csrf" value="([^"]+)"', page.text)[0]


def next_of(page: Response) -> str:
    return re.findall(r'name="next" value="([^"]*)"', page.text)[0]


@pytest.fixture
def browser(server: Client) -> FormBrowser:
    return FormBrowser(server)
