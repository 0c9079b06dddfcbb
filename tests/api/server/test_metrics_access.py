"""Who may read /metrics: with and without a login, with and without the token of the setting."""

from dataclasses import replace

import pytest
from tests.auth.conftest import admin, basic, bearer, low_cost, password_hash, user
from tests.client import running_app

from railtrack.auth.users import User
from railtrack.config.settings import Settings

__all__ = ["admin", "low_cost", "password_hash", "user"]

TOKEN = "prometheus-0123456789"
NONE: dict[str, str] = {}


@pytest.mark.parametrize(
    ("mode", "token", "headers", "status"),
    [
        ("off", "", NONE, 200),
        ("off", TOKEN, NONE, 401),
        ("off", TOKEN, bearer(TOKEN + "x"), 401),
        ("off", TOKEN, bearer(TOKEN), 200),
        ("on", "", NONE, 401),
        ("on", "", bearer(""), 401),
        ("on", "", basic("ada"), 200),
        ("on", "", basic("bob"), 403),
        ("on", TOKEN, NONE, 401),
        ("on", TOKEN, bearer(TOKEN), 200),
        ("on", TOKEN, basic("ada"), 200),
        ("on", TOKEN, basic("ada", TOKEN), 401),
    ],
)
async def test_who_may_read_the_metrics(
    settings: Settings, admin: User, user: User, mode: str, token: str, headers: dict[str, str], status: int
) -> None:
    settings = replace(
        settings,
        auth=replace(settings.auth, mode=mode),
        metrics=replace(settings.metrics, enabled=True, token=token),
    )
    async with running_app(settings) as client:
        assert (await client.get("/metrics", headers=headers)).status == status
        if mode == "on" and headers == bearer(TOKEN):
            assert (await client.get("experiments/search?max_results=1", headers=headers)).status == 401
