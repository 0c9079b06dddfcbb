"""A server with single sign-on, its provider, and the steps of a login, for the tests of api/account/oidc.py."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.api.account.conftest import FormBrowser
from tests.client import Client, Response, running_app
from tests.servers.oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    OidcProvider,
    oidc_provider,
)

from railtrack.api.account import oidc
from railtrack.config.settings import Settings
from railtrack.db import Db
from railtrack.logs.throttle import ThrottledLog

ON_SQLITE = pytest.mark.parametrize("engine", ["sqlite"], indirect=True, scope="session")
"""For tests that end before the database matters."""
SEARCH = "/ajax-api/2.0/mlflow/experiments/search?max_results=1"
CURRENT = "/ajax-api/2.0/mlflow/users/current"


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as provider:
        yield provider


@pytest.fixture(autouse=True)
def unthrottled_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oidc, "failures", ThrottledLog(interval_s=0))


@pytest.fixture
def oidc_settings(login_settings: Settings, provider: OidcProvider) -> Settings:
    changed = replace(
        login_settings.oidc,
        issuer=provider.url,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        label="Log in as Eve",
    )
    return replace(login_settings, oidc=changed)


@pytest.fixture
async def server(db: Db, oidc_settings: Settings) -> AsyncIterator[Client]:
    async with running_app(oidc_settings) as client:
        yield client


Serve = Callable[..., Any]


@pytest.fixture
async def serve(db: Db, oidc_settings: Settings) -> AsyncIterator[Serve]:
    """Yield a function that returns a browser of a server with other settings of single sign-on."""
    from contextlib import AsyncExitStack

    async with AsyncExitStack() as stack:

        async def serve(**changed: Any) -> FormBrowser:
            settings = replace(oidc_settings, oidc=replace(oidc_settings.oidc, **changed))
            return FormBrowser(await stack.enter_async_context(running_app(settings)))

        yield serve


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


async def begin(browser: FormBrowser, query: str = "") -> str:
    """Return the URL at the provider to which the server redirects."""
    response = await browser.open(f"/login/oidc{query}")
    assert response.status == 303, response.text
    return response.headers["location"]


async def log_in(browser: FormBrowser, provider: OidcProvider, query: str = "") -> Response:
    url = await asyncio.to_thread(provider.authorize, await begin(browser, query))
    return await browser.open(path_of(url))


async def username_of(browser: FormBrowser) -> str:
    response = await browser.open(CURRENT)
    return str(response.json["user"]["username"]) if response.status == 200 else f"{response.status}"


async def failed(browser: FormBrowser, provider: OidcProvider, status: int, text: str) -> None:
    """Log in, and expect the login page with this status and text, and no session."""
    response = await log_in(browser, provider)
    assert (response.status, text in response.text) == (status, True), response.text
    assert "Log in as Eve" in response.text
    assert "railtrack" not in browser.cookies
