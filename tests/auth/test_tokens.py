"""Tokens: their text, scopes and limits."""

import pytest

from railtrack.auth import tokens
from railtrack.auth.identity import TokenScope
from railtrack.auth.users import User
from railtrack.clock import now_ms
from railtrack.db import Db
from railtrack.errors import ApiError


def test_a_token_has_a_prefix_and_a_checksum() -> None:
    token = tokens.generate_token()
    assert token.startswith("rtk_")
    assert tokens.is_token(token)
    assert len({tokens.generate_token() for _ in range(100)}) == 100
    for at in range(len(token)):
        changed = token[:at] + ("x" if token[at] != "x" else "y") + token[at + 1 :]
        assert not tokens.is_token(changed)
    assert not tokens.is_token(token + "\n")
    assert not tokens.is_token("")


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("all", None),
        ("read", TokenScope("read")),
        ("experiment:12", TokenScope("experiment", "12")),
        ("registered_model:a:b c", TokenScope("registered_model", "a:b c")),
    ],
)
def test_a_scope_is_parsed(text: str, scope: TokenScope | None) -> None:
    assert tokens.parse_scope(text) == scope


@pytest.mark.parametrize(
    "text", ["", "ALL", "all:", "read:1", "experiment", "experiment:", "experiment:x", "experiment:01", "x:1"]
)
def test_an_unknown_scope_is_rejected(text: str) -> None:
    with pytest.raises(ApiError, match="Invalid scope"):
        tokens.parse_scope(text)


async def test_only_the_hash_of_a_token_is_stored(db: Db, user: User) -> None:
    async with db.write() as tx:
        token = await tokens.create_token(tx, user.user_id, "laptop", scope="read")
    [row] = await db.fetch("SELECT * FROM railtrack_tokens")
    assert token not in str(list(row))
    assert token[tokens.HINT_LENGTH :] not in str(list(row))
    [stored] = await tokens.list_tokens(db, user.user_id)
    assert (stored.name, stored.hint, stored.scope) == ("laptop", token[:8], "read")


async def test_a_user_has_a_limited_number_of_tokens(db: Db, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "TOKENS_LIMIT", 2)
    async with db.write() as tx:
        for name in ("one", "two"):
            await tokens.create_token(tx, user.user_id, name)
        with pytest.raises(ApiError) as raised:
            await tokens.create_token(tx, user.user_id, "three")
        assert raised.value.code == "INVALID_STATE"
        newest, _ = await tokens.list_tokens(tx, user.user_id)
        await tokens.revoke_token(tx, newest.token_id, user.user_id)
        await tokens.create_token(tx, user.user_id, "three")


async def test_old_revoked_tokens_are_deleted(db: Db, user: User) -> None:
    async with db.write() as tx:
        await tokens.create_token(tx, user.user_id, "one")
        [first] = await tokens.list_tokens(tx, user.user_id)
        await tx.execute("UPDATE railtrack_tokens SET revoked_ms = $1", now_ms() - tokens.KEPT_MS - 1)
        await tokens.create_token(tx, user.user_id, "two")
        assert [one.name for one in await tokens.list_tokens(tx)] == ["two"]
    assert not first.is_active(now_ms() + tokens.KEPT_MS) or first.revoked_ms is None


@pytest.mark.parametrize(("name", "expires_ms"), [("", None), ("x" * 256, None), ("a\nb", None), ("a", 1)])
async def test_an_unfit_token_is_rejected(db: Db, user: User, name: str, expires_ms: int | None) -> None:
    async with db.write() as tx:
        with pytest.raises(ApiError) as raised:
            await tokens.create_token(tx, user.user_id, name, expires_ms=expires_ms)
    assert raised.value.status == 400
    assert await tokens.list_tokens(db) == []
