"""The warning about a server without login that others can reach: at the start, and by `railtrack doctor`."""

import pytest

from railtrack.checks import CheckStatus
from railtrack.checks.settings import check_login
from railtrack.checks.start import login_warnings
from railtrack.config.settings import load


@pytest.mark.parametrize(
    ("host", "mode", "needs_login", "warns"),
    [
        ("127.0.0.1", "off", False, False),
        ("127.0.0.1", "auto", False, False),
        ("127.0.0.1", "on", True, False),
        ("0.0.0.0", "off", False, True),
        ("0.0.0.0", "auto", True, False),
        ("0.0.0.0", "on", True, False),
        ("::", "auto", True, False),
        ("localhost", "auto", False, False),
        ("mlflow.internal", "auto", True, False),
    ],
)
async def test_an_open_server_on_a_public_address_is_reported(
    host: str, mode: str, needs_login: bool, warns: bool
) -> None:
    settings = load({"server.host": host, "auth.mode": mode}, {})
    assert settings.needs_login is needs_login
    assert bool(login_warnings(settings)) is warns
    [finding] = await check_login(settings)
    assert finding.status is (CheckStatus.WARNING if warns else CheckStatus.OK)
    assert ("RAILTRACK_AUTH=off" in finding.finding) is warns


def test_a_server_is_closed_by_default_unless_only_this_machine_reaches_it() -> None:
    hosts = ("127.0.0.1", "127.8.9.10", "::1", "localhost")
    assert not any(load({}, {"MLFLOW_HOST": host, "PORT": "8080"}).needs_login for host in ("", *hosts))
    others = ("0.0.0.0", "::", "10.0.0.5", "192.168.1.2", "fd00::1", "mlflow", "localhost.example.com", "127.1", "0")
    assert all(load({}, {"MLFLOW_HOST": host}).needs_login for host in others)


async def test_metrics_that_prometheus_cannot_read_are_reported() -> None:
    environ = {"MLFLOW_HOST": "0.0.0.0", "RAILTRACK_METRICS": "on"}
    [finding] = await check_login(load({}, environ))
    assert (finding.status, "RAILTRACK_METRICS_TOKEN" in finding.finding) == (CheckStatus.WARNING, True)
    assert login_warnings(load({}, {**environ, "RAILTRACK_METRICS_TOKEN": "x" * 16})) == []
    assert login_warnings(load({}, {"RAILTRACK_METRICS": "on"})) == []
