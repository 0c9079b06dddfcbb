"""No secret that a request carries, right or wrong, is in a log or in the audit log."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from tests.api.account.conftest import FormBrowser, csrf_of
from tests.auth.conftest import PASSWORD, basic, bearer
from tests.client import running_app

from railtrack.auth import tokens
from railtrack.auth.users import User
from railtrack.config.settings import Settings
from railtrack.db import Db


async def test_no_log_has_a_secret(
    db: Db,
    login_settings: Settings,
    admin: User,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    webhooks = replace(login_settings.webhooks, secret_key=Fernet.generate_key().decode())
    logs = replace(login_settings.logs, access_log=True, level="debug")
    metrics = replace(login_settings.metrics, enabled=True, token="metrics-secret-of-16")
    settings = replace(login_settings, webhooks=webhooks, logs=logs, metrics=metrics)
    async with db.write() as tx:
        token = await tokens.create_token(tx, admin.user_id, "test")
    unknown_token, new_password, others_password = (
        tokens.generate_token(),
        "another horse battery",
        "third horse battery",
    )
    secrets = [PASSWORD, token, unknown_token, new_password, others_password, "wrong-secret", "hook-secret"]
    async with running_app(settings) as server:

        async def send(method: str, path: str, headers: dict[str, str], json: Any = None) -> int:
            return (await server.send(method, path, json=json, headers=headers)).status

        search = "/api/2.0/mlflow/experiments/search?max_results=1"
        for headers, status in (
            (basic("ada"), 200),
            (basic("ada", "wrong-secret"), 401),
            (basic("wrong-secret", "x"), 401),
            (bearer(token), 200),
            (bearer(unknown_token), 401),
            (bearer("wrong-secret"), 401),
            ({"Authorization": "wrong-secret"}, 401),
            ({"Cookie": "railtrack=wrong-secret"}, 401),
        ):
            assert await send("GET", search, headers) == status
        assert await send("GET", f"{search}&token={token}&password={PASSWORD}&max_resultz=wrong-secret", {}) == 401
        assert await send("GET", "/metrics", bearer("metrics-secret-of-16")) == 200
        user = {"username": "bob", "password": others_password}
        assert await send("POST", "/api/2.0/mlflow/users/create", bearer(token), user) == 200
        short = {"username": "eve", "password": "hook-secret"}
        assert await send("POST", "/api/2.0/mlflow/users/create", bearer(token), short) == 400
        event = {"entity": "PROMPT", "action": "CREATED"}
        hook = {"name": "w", "url": "https://1.1.1.1/?key=hook-secret", "events": [event], "secret": "hook-secret"}
        assert await send("POST", "/api/2.0/mlflow/webhooks", bearer(token), hook) == 200
        browser = FormBrowser(server)
        assert (await browser.log_in("ada", "wrong-secret")).status == 401
        assert (await browser.log_in("ada", PASSWORD)).status == 303
        csrf = csrf_of(await browser.open("/account"))
        form = {"csrf": csrf, "current": PASSWORD, "new": new_password, "again": new_password}
        assert (await browser.submit("/account/password", form)).status == 303
        secrets += [csrf, *browser.cookies.values()]
    logged = caplog.text + "".join(capfd.readouterr())
    stored = str([tuple(row) for row in await db.fetch("SELECT * FROM railtrack_audit_log")])
    assert "experiments/search" in logged
    assert "POST users/create" in stored
    for secret in (*secrets, "metrics-secret-of-16"):
        assert secret not in logged, secret
        assert secret not in stored, secret
