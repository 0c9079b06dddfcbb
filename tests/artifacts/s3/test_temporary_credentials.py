"""Credentials that expire: when they are fetched anew, how often, and what happens when that fails."""

import asyncio
import re
import time

import pytest
from tests.artifacts.conftest import stores_at
from tests.servers.processes import PATIENCE_SECONDS, until
from tests.servers.roles import RoleServer, role_server

from railtrack.artifacts.s3 import roles, temporary_credentials
from railtrack.artifacts.s3.factory import provider_of
from railtrack.artifacts.s3.signing import Credentials
from railtrack.artifacts.s3.store import S3Store
from railtrack.artifacts.s3.temporary_credentials import EARLY_S, LAST_S, TemporaryCredentials
from railtrack.config.settings import load
from railtrack.errors import ApiError, unavailable


class Fetched:
    """Gives credentials with `lifetimes` in their turn, in seconds; fails for None."""

    def __init__(self, *lifetimes: float | None) -> None:
        self.count = 0
        self._lifetimes = lifetimes

    async def __call__(self) -> Credentials:
        lifetime = self._lifetimes[min(self.count, len(self._lifetimes) - 1)]
        self.count += 1
        await asyncio.sleep(0.01)
        if lifetime is None:
            raise unavailable(f"failed for the {self.count}. time")
        return Credentials(f"KEY{self.count}", "secret", "token", time.time() + lifetime)


async def test_they_are_fetched_once_for_many_who_ask_at_the_same_time() -> None:
    fetch = Fetched(3600)
    credentials = TemporaryCredentials(fetch)
    found = await asyncio.gather(*(credentials.current() for _ in range(50)))
    assert {one.access_key for one in found} == {"KEY1"}
    assert (await credentials.current()).access_key == "KEY1"
    assert fetch.count == 1


async def test_they_are_renewed_before_their_end_and_used_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_credentials, "PAUSE_S", 0.0)
    fetch = Fetched(EARLY_S - 1, 3600)
    credentials = TemporaryCredentials(fetch)
    assert (await credentials.current()).access_key == "KEY1"
    assert {(await credentials.current()).access_key for _ in range(10)} == {"KEY1"}
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await credentials.current()).access_key != "KEY2":  # noqa: ASYNC110 (a fetch behind tells nobody)
            await asyncio.sleep(0.01)
    assert fetch.count == 2


async def test_short_ones_are_not_renewed_all_the_time() -> None:
    fetch = Fetched(LAST_S + 60)
    credentials = TemporaryCredentials(fetch)
    for _ in range(20):
        await credentials.current()
        await asyncio.sleep(0.005)
    assert fetch.count == 1


async def test_a_renewal_that_fails_keeps_the_old_ones_while_they_hold(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(temporary_credentials, "PAUSE_S", 0.0)
    credentials = TemporaryCredentials(Fetched(EARLY_S - 1, None))
    assert (await credentials.current()).access_key == "KEY1"
    assert (await credentials.current()).access_key == "KEY1"
    await until(lambda: "new credentials could not be fetched: failed for the 2. time" in caplog.text)
    assert (await credentials.current()).access_key == "KEY1"
    monkeypatch.setattr(temporary_credentials, "LAST_S", EARLY_S)  # as if their time were over
    with pytest.raises(ApiError, match="failed for the"):
        await credentials.current()


async def test_after_a_failure_nobody_is_asked_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_credentials, "FAILED_PAUSE_S", 3600.0)
    fetch = Fetched(None, 3600)
    credentials = TemporaryCredentials(fetch)
    for _ in range(5):
        with pytest.raises(ApiError, match=re.escape("failed for the 1. time")):
            await credentials.current()
    assert fetch.count == 1
    monkeypatch.setattr(temporary_credentials, "FAILED_PAUSE_S", 0.0)
    assert (await credentials.current()).access_key == "KEY2"


async def test_who_waits_may_be_cancelled_without_harm_to_the_others() -> None:
    fetch = Fetched(3600)
    credentials = TemporaryCredentials(fetch)
    first, second = (asyncio.create_task(credentials.current()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).access_key == "KEY1"
    assert fetch.count == 1


async def test_a_fetch_takes_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary_credentials, "LIMIT_S", 0.05)
    monkeypatch.setattr(roles, "ATTEMPT_S", 10.0)
    async with role_server() as agent:
        agent.delay = 0.5
        provider = provider_of(load({}, {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.url}).aws, "us-east-1")
        with pytest.raises(ApiError, match="no answer in time") as caught:
            await provider()
    assert caught.value.status == 503


@pytest.mark.parametrize(("lifetime", "wanted", "seconds"), [(1000, 900, 900), (1000, 3600, 1000), (60, 900, 60)])
async def test_a_presigned_url_does_not_outlive_its_credentials(lifetime: int, wanted: int, seconds: int) -> None:
    async with role_server() as agent:
        agent.lifetime = lifetime
        store = await _store_of(agent)
        url = await store.presign("GET", "a", wanted)
    found = re.search(r"X-Amz-Expires=(\d+)", url)
    assert found
    assert seconds - 10 <= int(found[1]) <= seconds
    assert "X-Amz-Security-Token=token1" in url


async def _store_of(agent: RoleServer) -> S3Store:
    stores = stores_at(
        "s3://bucket", {"AWS_CONTAINER_CREDENTIALS_FULL_URI": agent.url, "AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    )
    store = stores.proxied().store
    assert isinstance(store, S3Store)
    return store
