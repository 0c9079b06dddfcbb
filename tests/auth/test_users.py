"""Users in the database: names, and that an administrator is always left."""

import asyncio

import pytest

from railtrack.auth import users
from railtrack.auth.users import User
from railtrack.db import Db
from railtrack.errors import ApiError


@pytest.mark.parametrize("username", ["", "a:b", "a\0b", "a\nb", " a", "a ", "x" * 256])
async def test_an_unfit_name_is_rejected(db: Db, username: str) -> None:
    async with db.write() as tx:
        with pytest.raises(ApiError, match="Invalid user name") as raised:
            await users.create_user(tx, username, None)
    assert raised.value.status == 400
    assert await users.list_users(db) == []


async def test_names_are_unique_and_their_case_matters(db: Db) -> None:
    async with db.write() as tx:
        first = await users.create_user(tx, "bob", None)
        second = await users.create_user(tx, "Bob", None)
        with pytest.raises(ApiError) as raised:
            await users.create_user(tx, "bob", None)
    assert raised.value.code == "RESOURCE_ALREADY_EXISTS"
    assert first.user_id != second.user_id
    assert await users.find_user(db, "BOB") is None
    assert await users.find_user_by_id(db, second.user_id) == second


async def test_the_id_of_a_deleted_user_is_not_used_again(db: Db) -> None:
    async with db.write() as tx:
        first = await users.create_user(tx, "bob", None)
        await users.delete_user(tx, first)
        assert (await users.create_user(tx, "bob", None)).user_id != first.user_id


async def test_the_last_administrator_stays(db: Db, admin: User, user: User) -> None:
    for change in (
        lambda tx: users.set_admin(tx, admin, is_admin=False),
        lambda tx: users.set_disabled(tx, admin, is_disabled=True),
        lambda tx: users.delete_user(tx, admin),
    ):
        with pytest.raises(ApiError, match="ada is the only administrator") as raised:
            async with db.write() as tx:
                await change(tx)
        assert raised.value.status == 400
    async with db.write() as tx:
        await users.set_admin(tx, user, is_admin=True)
        await users.delete_user(tx, admin)
    assert [one.username for one in await users.list_users(db)] == ["bob"]


async def test_two_administrators_cannot_remove_each_other_at_once(db: Db, password_hash: str) -> None:
    async with db.write() as tx:
        both = [await users.create_user(tx, name, None, is_admin=True) for name in ("one", "two")]

    async def delete(user: User) -> None:
        async with db.write() as tx:
            await users.delete_user(tx, user)

    results = await asyncio.gather(*map(delete, both), return_exceptions=True)
    assert sorted(isinstance(result, ApiError) for result in results) == [False, True]
    assert len(await users.list_users(db)) == 1
