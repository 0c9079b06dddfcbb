"""Failed logins: how many are checked, and that they cost others nothing."""

import asyncio
import threading
from base64 import b64encode

import pytest
from tests.auth.conftest import basic, bearer
from tests.client import Client

from railtrack.auth import password_login, passwords, throttle, tokens
from railtrack.auth.audit import BURST
from railtrack.auth.audit_entries import AuditFilter, search_entries
from railtrack.auth.throttle import FailureCounters, throttle_key
from railtrack.auth.users import User
from railtrack.db import Db

SEARCH = "experiments/search?max_results=1"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace scrypt by a fast function, which records the passwords that are checked."""
    checked: list[str] = []

    def fast(password: str, salt: str, *cost: int) -> bytes:
        checked.append(password)
        return (password + salt).encode()

    monkeypatch.setattr(passwords, "_scrypt", fast)
    return checked


@pytest.fixture
async def admin(db: Db, checked: list[str], admin: User) -> User:
    await db.execute("UPDATE railtrack_users SET password_hash = $1", passwords.hash_password("the right one"))
    checked.clear()
    return admin


async def statuses(server: Client, username: str, count: int, peer: str) -> list[int]:
    """Try `count` different wrong passwords, one after the other."""
    return [
        (await server.get(SEARCH, headers=basic(username, f"wrong {peer} {number}"), peer=peer)).status
        for number in range(count)
    ]


async def test_an_address_has_to_wait_after_some_failures(server: Client, admin: User, checked: list[str]) -> None:
    assert await statuses(server, "ada", 12, "192.0.2.1") == [401] * throttle.ADDRESS_FAILURES + [429] * 2
    assert len(checked) == throttle.ADDRESS_FAILURES
    response = await server.get(SEARCH, headers=basic("ada", "the right one"), peer="192.0.2.1")
    assert (response.status, response.json["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert "Too many failed logins" in response.json["message"]
    assert (await server.get(SEARCH, headers=basic("ada", "the right one"), peer="192.0.2.2")).status == 200


async def test_an_attacked_account_lets_its_user_in_from_an_address_without_failures(
    server: Client, admin: User, checked: list[str]
) -> None:
    for number in range(throttle.ACCOUNT_FAILURES):
        assert await statuses(server, "ada", 1, f"198.51.100.{number}") == [401]
    assert await statuses(server, "ada", 3, "203.0.113.1") == [401, 429, 429]
    assert await statuses(server, "nobody", 1, "203.0.113.1") == [401]
    assert (await server.get(SEARCH, headers=basic("ada", "the right one"), peer="203.0.113.2")).status == 200


async def test_who_is_logged_in_or_has_a_token_is_not_throttled(
    server: Client, db: Db, admin: User, checked: list[str]
) -> None:
    async with db.write() as tx:
        token = await tokens.create_token(tx, admin.user_id, "laptop")
    right = basic("ada", "the right one")
    assert (await server.get(SEARCH, headers=right, peer="192.0.2.1")).status == 200
    assert 429 in await statuses(server, "ada", 12, "192.0.2.1")
    for headers in (right, bearer(token), basic("ada", token)):
        assert (await server.get(SEARCH, headers=headers, peer="192.0.2.1")).status == 200


async def test_failures_are_forgotten_with_time(
    server: Client, admin: User, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 429 in await statuses(server, "ada", 12, "192.0.2.1")
    monkeypatch.setattr(throttle, "FORGET_S", 1e-6)
    assert (await server.get(SEARCH, headers=basic("ada", "the right one"), peer="192.0.2.1")).status == 200


async def test_a_program_that_repeats_a_wrong_password_is_neither_checked_nor_throttled_again(
    server: Client, admin: User, checked: list[str]
) -> None:
    sent = [server.get(SEARCH, headers=basic("ada", "an old one"), peer="192.0.2.1") for _ in range(30)]
    assert {response.status for response in await asyncio.gather(*sent)} == {401}
    assert checked == ["an old one"]


async def test_requests_that_send_the_same_password_at_once_check_it_once(
    server: Client, admin: User, checked: list[str]
) -> None:
    sent = [server.get(SEARCH, headers=basic("ada", "the right one")) for _ in range(30)]
    assert {response.status for response in await asyncio.gather(*sent)} == {200}
    assert checked == ["the right one"]


async def test_parallel_attempts_of_one_address_are_counted_one_by_one(
    server: Client, admin: User, checked: list[str]
) -> None:
    sent = [server.get(SEARCH, headers=basic("ada", f"wrong {number}"), peer="192.0.2.1") for number in range(60)]
    assert {response.status for response in await asyncio.gather(*sent)} == {401, 429}
    assert len(checked) == throttle.ADDRESS_FAILURES


async def test_addresses_with_failures_wait_a_bounded_time_in_a_bounded_queue(
    server: Client, admin: User, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one of them is checked, a user at another address is not delayed."""
    monkeypatch.setattr(password_login, "SUSPECT_TIMEOUT_S", 0.1)
    began, go_on = threading.Event(), threading.Event()
    verify = passwords.verify_password

    def slow(password: str, stored: str) -> bool:
        if password == "slow":
            began.set()
            go_on.wait(60)
        return verify(password, stored)

    monkeypatch.setattr(passwords, "verify_password", slow)
    addresses = [f"198.51.100.{number}" for number in range(20)]
    for address in addresses:
        assert await statuses(server, address, 1, address) == [401]
    first = asyncio.create_task(server.get(SEARCH, headers=basic("nobody", "slow"), peer=addresses[0]))
    try:
        assert await asyncio.to_thread(began.wait, 60)
        others = await asyncio.gather(
            *(server.get(SEARCH, headers=basic(peer, f"x {peer}"), peer=peer) for peer in addresses[1:])
        )
        assert {response.status for response in others} == {429}
        right = basic("ada", "the right one")
        assert (await server.get(SEARCH, headers=right, peer="203.0.113.1")).status == 200
    finally:
        go_on.set()
    assert (await first).status == 401
    assert (await server.get(SEARCH, headers=basic("nobody", "later"), peer=addresses[1])).status == 401


@pytest.mark.slow
async def test_ten_thousand_wrong_logins_are_bounded(
    server: Client, db: Db, admin: User, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 50 addresses behind a proxy, and a user among them. No more than two passwords are checked at a time.

    Nothing is kept of them but counters, and few entries of the audit log.
    """
    running, most = 0, 0
    verify = passwords.verify_password

    def counted(password: str, stored: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return verify(password, stored)
        finally:
            running -= 1

    monkeypatch.setattr(passwords, "verify_password", counted)

    async def attack(number: int) -> set[int]:
        statuses = set()
        for attempt in range(200):
            headers = basic(f"user{number % 7}", f"wrong {number} {attempt} {'x' * 1000}")
            response = await server.get(SEARCH, headers={**headers, "X-Forwarded-For": f"198.51.100.{number}"})
            statuses.add(response.status)
        return statuses

    attacks = asyncio.gather(*map(attack, range(50)))
    for number in range(20):
        right = basic("ada", "the right one")
        headers = {**right, "X-Forwarded-For": f"203.0.113.{number}"}
        assert (await server.get(SEARCH, headers=headers)).status == 200
    assert {status for one in await attacks for status in one} == {401, 429}
    assert most <= passwords.CHECKS_AT_ONCE
    assert len(checked) <= 50 * throttle.ADDRESS_FAILURES + 1
    authenticator = server._app._authenticator
    assert authenticator is not None
    assert not authenticator.passwords._lanes
    assert len(authenticator._rejected) <= 50 * throttle.ADDRESS_FAILURES
    await server._app.close()
    entries = await search_entries(db, AuditFilter(is_denied=True), 10_000)
    assert len(entries) <= BURST + 2 * 50
    assert sum(one.count for one in entries) == 50 * 200


def test_counters_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "KEYS_LIMIT", 100)
    counters = FailureCounters()
    counters.increment("first")
    for number in range(99):
        counters.increment(str(number))
    counters.increment("first")
    counters.increment("another")
    assert len(counters) == 100
    assert counters.count("first") == pytest.approx(2, abs=0.5)
    assert counters.count("0") == 0


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "unknown"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_address_is_reduced_to_what_a_client_cannot_change(address: str, key: str) -> None:
    assert throttle_key(address) == key


async def test_the_address_is_the_one_that_trusted_proxies_report(
    server: Client, admin: User, checked: list[str]
) -> None:
    """The peer 127.0.0.1 is trusted by default, 192.0.2.1 is not."""
    for number in range(15):
        headers = {**basic("ada", f"wrong {number}"), "X-Forwarded-For": f"198.51.100.{number}"}
        assert (await server.get(SEARCH, headers=headers)).status == 401
    for number in range(15):
        headers = {**basic("ada", f"bad {number}"), "X-Forwarded-For": f"198.51.100.{number + 100}"}
        response = await server.get(SEARCH, headers=headers, peer="192.0.2.1")
    assert response.status == 429


async def test_logging_out_of_the_web_interface_is_no_failed_login(server: Client, checked: list[str]) -> None:
    name = "mlflow-logged-out-m1abc"
    headers = {"Authorization": "Basic " + b64encode(f"{name}:{name}".encode()).decode()}
    for _ in range(30):
        response = await server.get("/ajax-api/2.0/mlflow/users/current", headers=headers, peer="192.0.2.1")
        assert response.status == 401
    assert checked == []
