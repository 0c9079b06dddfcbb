"""Credentials that expire: when they are fetched, how often, and what happens if that fails."""

import asyncio
import re
import time

import pytest
from tests.artifacts.conftest import stores_at
from tests.servers.processes import TIMEOUT_S
from tests.servers.roles import RoleServer, role_server

from railtrack.artifacts.s3 import credential_cache
from railtrack.artifacts.s3.credential_cache import EXPIRY_MARGIN_S, CredentialCache
from railtrack.artifacts.s3.signing import Credentials
from railtrack.artifacts.s3.store import S3Store
from railtrack.errors import ApiError, unavailable

pytestmark = pytest.mark.slow

HOUR_S = 3600.0
SHORT_S = 4.0


class Source:
    """Return credentials with each of the lifetimes, in seconds; raise each error."""

    def __init__(self, *outcomes: float | ApiError) -> None:
        self.count = 0
        self._outcomes = outcomes

    async def __call__(self) -> Credentials:
        outcome = self._outcomes[min(self.count, len(self._outcomes) - 1)]
        self.count += 1
        await asyncio.sleep(0.01)
        if isinstance(outcome, ApiError):
            raise outcome
        return Credentials(f"KEY{self.count}", "secret", "token", time.time() + outcome)


async def test_many_requests_share_one_fetch() -> None:
    source = Source(HOUR_S)
    cache = CredentialCache(source)
    credentials = await asyncio.gather(*(cache.current() for _ in range(50)))
    assert {one.access_key for one in credentials} == {"KEY1"}
    assert (await cache.current()).access_key == "KEY1"
    assert source.count == 1


async def test_credentials_are_renewed_after_half_of_a_short_lifetime_and_used_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(credential_cache, "EXPIRY_MARGIN_S", 0.0)
    monkeypatch.setattr(credential_cache, "RENEWAL_PAUSE_S", 0.0)
    source = Source(SHORT_S, HOUR_S)
    cache = CredentialCache(source)
    end = time.monotonic() + SHORT_S
    assert (await cache.current()).access_key == "KEY1"
    await asyncio.sleep(SHORT_S / 4)
    assert (await cache.current()).access_key == "KEY1"
    assert source.count == 1
    while (await cache.current()).access_key != "KEY2":  # noqa: ASYNC110 (a fetch in the background)
        await asyncio.sleep(0.01)
    assert time.monotonic() < end
    assert source.count == 2


async def test_long_lived_credentials_are_renewed_15_minutes_before_they_expire(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time()
    source = Source(HOUR_S)
    cache = CredentialCache(source)
    await cache.current()
    for elapsed, fetches in ((HOUR_S - 16 * 60, 1), (HOUR_S - 14 * 60, 2)):
        monkeypatch.setattr(credential_cache, "RENEWAL_PAUSE_S", 0.0)
        monkeypatch.setattr(credential_cache.time, "time", lambda at=now + elapsed: at)
        await cache.current()
        await asyncio.sleep(0)
        assert source.count == fetches


async def test_a_renewal_that_fails_keeps_the_old_credentials_while_they_are_valid(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(credential_cache, "EXPIRY_MARGIN_S", 0.0)
    denied = ApiError("PERMISSION_DENIED", "Unable to locate credentials: denied")
    cache = CredentialCache(Source(SHORT_S, denied))
    expires = (await cache.current()).expires
    while time.time() < expires - 1:
        assert (await cache.current()).access_key == "KEY1"
        await asyncio.sleep(0.1)
    await asyncio.sleep(1.1)
    with pytest.raises(ApiError, match="denied") as caught:
        await cache.current()
    assert "new credentials could not be fetched: Unable to locate credentials: denied" in caplog.text
    assert caught.value.status == 503, "a source that has worked is expected to work again"


async def test_credentials_that_do_not_expire_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential_cache, "STATIC_LIFETIME_S", 0.1)
    monkeypatch.setattr(credential_cache, "RENEWAL_PAUSE_S", 0.0)
    source = Source(float("inf"))
    cache = CredentialCache(source)
    assert (await cache.current()).access_key == "KEY1"
    assert source.count == 1
    async with asyncio.timeout(TIMEOUT_S):
        while (await cache.current()).access_key == "KEY1":  # noqa: ASYNC110 (a fetch in the background)
            await asyncio.sleep(0.01)


async def test_after_a_failure_the_source_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential_cache, "FAILURE_PAUSE_S", 3600.0)
    source = Source(unavailable("away"), HOUR_S)
    cache = CredentialCache(source)
    for _ in range(5):
        with pytest.raises(ApiError, match="away"):
            await cache.current()
    assert source.count == 1
    monkeypatch.setattr(credential_cache, "FAILURE_PAUSE_S", 0.0)
    assert (await cache.current()).access_key == "KEY2"


async def test_expired_credentials_are_not_used() -> None:
    with pytest.raises(ApiError, match=re.escape("the source returned expired ones. Is the clock right?")) as caught:
        await CredentialCache(Source(EXPIRY_MARGIN_S - 1)).current()
    assert caught.value.status == 503


async def test_a_cancelled_request_leaves_the_fetch_to_the_others() -> None:
    source = Source(HOUR_S)
    cache = CredentialCache(source)
    first, second = (asyncio.create_task(cache.current()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).access_key == "KEY1"
    assert source.count == 1


async def test_a_fetch_takes_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credential_cache, "TIMEOUT_S", 0.05)

    async def hang() -> Credentials:
        await asyncio.sleep(TIMEOUT_S)
        raise AssertionError

    with pytest.raises(ApiError, match="no response in time") as caught:
        await CredentialCache(hang).current()
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
