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
    assert ("RAILTRACK_AUTH=on" in finding.finding) is warns
