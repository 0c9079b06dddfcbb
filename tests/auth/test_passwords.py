"""Password hashes: cost, formats, and the rules for new passwords. Elsewhere tests use a lower cost (conftest.py)."""

import hashlib
import os
import threading

import pytest

from railtrack.auth import passwords
from railtrack.errors import ApiError

OWASP = 2**13 * 8 * 10
"""The least cost of scrypt that the OWASP Password Storage Cheat Sheet lists, as N * r * p."""


def test_the_cost_is_what_owasp_recommends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    stored = passwords.hash_password("correct horse battery")
    method, n, r, p = stored.partition("$")[0].split(":")
    assert method == "scrypt"
    assert int(n) * int(r) * int(p) >= OWASP
    assert passwords.NO_MATCH.partition("$")[0] == stored.partition("$")[0]
    assert passwords.verify_password("correct horse battery", stored)
    assert not passwords.verify_password("correct horse batterz", stored)


def test_two_hashes_of_one_password_differ() -> None:
    assert passwords.hash_password("a") != passwords.hash_password("a")


def test_no_password_matches_the_hash_of_an_unknown_user() -> None:
    for password in ("", "0" * 32, "a"):
        assert not passwords.verify_password(password, passwords.NO_MATCH)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "plain",
        "$",
        "scrypt$salt$00",
        "scrypt:32768:8:1:9$salt$00",
        "scrypt:a:8:1$salt$00",
        "scrypt:-1:8:1$salt$00",
        "scrypt:3:8:1$salt$00",
        "scrypt:1073741824:8:1$salt$00",
        "scrypt:16:8:1000000$salt$00",
        "pbkdf2:sha256$salt$00",
        "pbkdf2:sha256:0$salt$00",
        "pbkdf2:sha256:999999999999$salt$00",
        "pbkdf2:md5:1000$salt$00",
        "bcrypt$salt$00",
    ],
)
def test_a_hash_of_another_format_or_of_a_huge_cost_never_matches(stored: str) -> None:
    assert not passwords.verify_password("a", stored)


def test_a_hash_of_werkzeug_is_verified() -> None:
    digest = hashlib.scrypt(b"a", salt=b"abc", n=32768, r=8, p=1, maxmem=132 * 32768 * 8).hex()
    assert passwords.verify_password("a", f"scrypt:32768:8:1$abc${digest}")
    digest = hashlib.pbkdf2_hmac("sha256", b"a", b"abc", 1000).hex()
    assert passwords.verify_password("a", f"pbkdf2:sha256:1000$abc${digest}")
    assert passwords.needs_rehash(f"pbkdf2:sha256:1000$abc${digest}")


@pytest.mark.parametrize(
    "password", ["", "elevencharz", "password1234", "PASSWORD1234", "ababababababab", "x" * 1001, "twelve chars\0"]
)
def test_an_easy_password_is_rejected_without_being_repeated(password: str) -> None:
    with pytest.raises(ApiError, match=r"Invalid password|Password must be at least") as raised:
        passwords.check_new_password("ada", password)
    assert raised.value.status == 400
    assert not password or password not in raised.value.message


def test_the_user_name_is_no_password() -> None:
    with pytest.raises(ApiError, match="easy to guess"):
        passwords.check_new_password("ada.lovelace", "Ada.Lovelace")
    passwords.check_new_password("ada.lovelace", "ada.lovelace 1815")


def test_generated_passwords_fulfil_the_rules() -> None:
    generated = {passwords.generate_password() for _ in range(100)}
    assert len(generated) == 100
    for password in generated:
        passwords.check_new_password("admin", password)


async def test_hashes_are_computed_in_two_threads_of_low_priority() -> None:
    checks = passwords.PasswordChecks()
    seen: list[tuple[str, int]] = []

    def look() -> None:
        seen.append((threading.current_thread().name, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))

    for _ in range(10):
        await checks._run(look)
    checks.close()
    assert {name for name, _ in seen} <= {"password_0", "password_1"}
    assert {priority for _, priority in seen} == {passwords.NICENESS}
    assert os.getpriority(os.PRIO_PROCESS, 0) < passwords.NICENESS
