"""How the grants of a user fold. tests/compat compares the same rules with MLflow's, over HTTP."""

import pytest

from railtrack.auth import grants as module
from railtrack.auth.grants import Grant, Grants, GrantsCache, ReadFilter
from railtrack.auth.levels import Level, check_grant
from railtrack.auth.roles import set_grant
from railtrack.auth.state import AuthState
from railtrack.auth.users import create_user
from railtrack.db import Db
from railtrack.errors import ApiError

DENY, NO, READ, USE, EDIT, MANAGE = Level


def grants(*rows: tuple[str, str, Level], default: Level = NO) -> Grants:
    return Grants([Grant(*row) for row in rows], default)


ON_ONE = [
    pytest.param([], NO, id="no grant"),
    pytest.param([("experiment", "1", EDIT)], EDIT, id="on the id"),
    pytest.param([("experiment", "2", EDIT)], NO, id="on another id"),
    pytest.param([("experiment", "*", EDIT)], EDIT, id="on all"),
    pytest.param([("registered_model", "1", EDIT)], NO, id="on another type"),
    pytest.param([("experiment", "*", EDIT), ("experiment", "1", READ)], EDIT, id="an id does not narrow all"),
    pytest.param([("experiment", "*", READ), ("experiment", "1", MANAGE)], MANAGE, id="an id widens all"),
    pytest.param([("experiment", "1", READ), ("experiment", "1", EDIT)], EDIT, id="two roles"),
    pytest.param([("experiment", "1", EDIT), ("experiment", "1", DENY)], DENY, id="deny beats another role"),
    pytest.param([("experiment", "*", DENY), ("experiment", "1", MANAGE)], DENY, id="deny on all beats an id"),
    pytest.param([("experiment", "1", DENY), ("experiment", "*", MANAGE)], DENY, id="deny on an id beats all"),
    pytest.param([("workspace", "*", USE)], NO, id="the use of a workspace gives nothing on a resource"),
    pytest.param([("workspace", "*", MANAGE)], MANAGE, id="a workspace administrator"),
    pytest.param([("workspace", "*", MANAGE), ("experiment", "1", DENY)], MANAGE, id="who cannot be denied"),
]


@pytest.mark.parametrize(("rows", "level"), ON_ONE)
def test_the_permission_on_one_resource(rows: list[tuple[str, str, Level]], level: Level) -> None:
    assert grants(*rows).permission("experiment", "1") is level


@pytest.mark.parametrize(("rows", "level"), ON_ONE)
def test_lists_show_what_may_be_read(rows: list[tuple[str, str, Level]], level: Level) -> None:
    member = ("workspace", "*", USE) in rows
    assert grants(*rows).read_filter("experiment").allows("1") is (level >= READ or member)


def test_the_default_is_what_everyone_may_do_unless_denied() -> None:
    assert grants(default=READ).permission("experiment", "1") is READ
    assert grants(("experiment", "1", READ), default=EDIT).permission("experiment", "1") is EDIT
    assert grants(("experiment", "1", MANAGE), default=EDIT).permission("experiment", "1") is MANAGE
    assert grants(("experiment", "1", DENY), default=EDIT).permission("experiment", "1") is DENY
    assert grants(("experiment", "2", DENY), default=READ).read_filter("experiment") == ReadFilter(True, frozenset("2"))


def test_the_first_resource_with_a_grant_decides() -> None:
    experiment = ("experiment", "1")
    assert grants(("experiment", "1", EDIT)).permission("run", "*", experiment) is EDIT
    assert grants(("experiment", "1", MANAGE), ("run", "*", READ)).permission("run", "*", experiment) is READ
    assert grants(("experiment", "1", READ), ("run", "*", EDIT)).permission("run", "*", experiment) is EDIT
    assert grants(("experiment", "1", MANAGE), ("run", "*", DENY)).permission("run", "*", experiment) is DENY
    assert grants(("experiment", "1", DENY)).permission("run", "*", experiment) is DENY
    assert grants(default=READ).permission("run", "*", experiment) is READ


def test_an_absent_grant_is_no_deny() -> None:
    assert not grants().denies("run")
    assert grants(("run", "*", DENY)).denies("run")
    assert not grants(("run", "*", DENY), ("workspace", "*", MANAGE)).denies("run")


def test_a_filter_of_single_grants_names_only_what_may_be_read() -> None:
    some = grants(("experiment", "1", READ), ("experiment", "2", MANAGE), ("experiment", "3", DENY))
    assert some.read_filter("experiment") == ReadFilter(False, frozenset("12"))
    assert some.read_filter("registered_model") == ReadFilter(False, frozenset())


def test_a_filter_of_a_grant_on_all_names_the_exceptions() -> None:
    most = grants(("experiment", "*", READ), ("experiment", "2", MANAGE), ("experiment", "3", DENY))
    assert most.read_filter("experiment") == ReadFilter(True, frozenset("3"))
    assert grants(("experiment", "*", DENY), default=READ).read_filter("experiment") == ReadFilter(False, frozenset())


@pytest.mark.parametrize("pattern", ["01", " 1", "+1", "1.0", "-1", "", "a", "\u0661", "1/2"])
def test_a_grant_names_an_experiment_by_its_canonical_id(pattern: str) -> None:
    with pytest.raises(ApiError, match="Invalid experiment ID"):
        check_grant("experiment", pattern, "DENY")


def test_a_grant_that_mlflow_would_store_is_accepted() -> None:
    for resource_type, pattern, level in (
        ("experiment", "0", "READ"),
        ("experiment", "*", "DENY"),
        ("registered_model", "x" * 256, "MANAGE"),
        ("run", "*", "EDIT"),
        ("workspace", "*", "USE"),
    ):
        check_grant(resource_type, pattern, level)


@pytest.mark.parametrize(
    ("grant", "reason"),
    [
        (("experiment", "1", "read"), "Invalid permission 'read'"),
        (("experiment", "1", "NO_PERMISSIONS"), "Resource-level grants accept only"),
        (("workspace", "*", "DENY"), "Workspace-wide grants accept only"),
        (("workspace", "1", "USE"), "supports only wildcard"),
        (("run", "1", "READ"), "supports only wildcard"),
        (("table", "*", "READ"), "Invalid resource type 'table'"),
        (("registered_model", "", "READ"), "Invalid resource id"),
        (("registered_model", "x" * 513, "READ"), "Invalid resource id"),
    ],
)
def test_a_grant_without_effect_is_rejected(grant: tuple[str, str, str], reason: str) -> None:
    with pytest.raises(ApiError, match=reason):
        check_grant(*grant)


async def test_the_cache_is_bounded_by_users_and_by_grants(db: Db, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHED_GRANTS", 10)
    monkeypatch.setattr(module, "CACHED_USERS", 3)
    async with db.write() as tx:
        users = [(await create_user(tx, f"user{number}", None)).user_id for number in range(6)]
        for user_id, count in zip(users, (4, 4, 1, 1, 12, 0), strict=True):
            for number in range(count):
                await set_grant(tx, user_id, "experiment", str(number), "READ")
    cache = GrantsCache(db, AuthState(db), NO)
    sizes = []
    for user_id in users:
        expected = NO if user_id == users[-1] else READ
        assert (await cache.of(user_id)).permission("experiment", "0") is expected
        sizes.append((len(cache._entries), cache._size))
    assert sizes == [(1, 4), (2, 8), (3, 9), (3, 6), (1, 12), (1, 0)]
