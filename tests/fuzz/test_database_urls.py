"""Any text as a database URL: the server, doctor and the commands on the database end with a StartError, or connect."""

import asyncio
import contextlib
import logging
import tempfile
from argparse import Namespace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from railtrack.checks import CheckStatus
from railtrack.checks.doctor import run_doctor
from railtrack.cli.access_database import run as run_command
from railtrack.cli.server import check_options
from railtrack.config.settings import resolve_all
from railtrack.db.libpq import PARAMETERS
from railtrack.db.open import open_database, prepare, wait_for_database
from railtrack.db.url import parse_database_url
from railtrack.errors import StartError

SECRET = "s3cretPassword"
TEXT = st.text(st.sampled_from("abz09:/@?#[]%&=,;+ \\'\"\0\n\udc80ä*.-_~{}"), max_size=12)
HOST = st.sampled_from(
    ["", "127.0.0.1:1", "[::1]:1", "%2Fnope", "a..b", "x" * 70, "127.0.0.1:1,[::1]:1", "/nope", "ho st"]
)
VALUE = st.one_of(
    TEXT,
    st.sampled_from(
        [
            "require",
            "verify-full",
            "direct",
            "1",
            "0",
            "-1",
            "99999",
            "system",
            "random",
            "standby",
            "127.0.0.1",
            "/",
            "/dev/null",
            "/nope",
            "TLSv1.3",
            "true",
            "a:1",
            "127.0.0.1,127.0.0.1",
            "-csearch_path=x",
        ]
    ),
)
OPTIONS = st.lists(st.tuples(st.one_of(st.sampled_from(sorted(PARAMETERS)), TEXT), VALUE), max_size=4)


@st.composite
def urls(draw: st.DrawFn) -> str:
    scheme = draw(
        st.sampled_from(["postgresql", "postgres", "postgresql+psycopg2", "sqlite", "mysql", "", "postgresql+"])
    )
    login = draw(st.sampled_from(["", f"u:{SECRET}@", f"u:{SECRET}", "u@", f"u@v:{SECRET}@", f":{SECRET}@"]))
    query = "&".join(f"{name}={value}" for name, value in draw(OPTIONS))
    # Without a host, the driver would look for a server of this machine.
    host = draw(HOST) or "127.0.0.1:1"
    return f"{scheme}://{login}{host}/{draw(TEXT)}?{query}" if draw(st.booleans()) else f"{scheme}:{draw(TEXT)}"


async def start(text: str) -> None:
    """Do what the start does with the database."""
    url = parse_database_url(text, environ={"HOME": "/nonexistent"})
    db = open_database(url, connections=1)
    try:
        await wait_for_database(db, url, 0)
        await prepare(db, url, default_location="mlflow-artifacts:/0")
    finally:
        await db.close()


async def start_error(text: str) -> str:
    """Return the one line with which the start ends, "" if it succeeds. Any other exception fails the test."""
    try:
        await start(text)
    except StartError as error:
        return str(error)
    return ""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@example(f"postgresql://u:{SECRET}@/name?host=/cloudsql/project:region:instance")
@example(f"postgresql://u@/n?host=127.0.0.1:1&password={SECRET}&sslmode=verify-full&sslrootcert=/dev/null")
@example(f"postgresql://u:{SECRET}@127.0.0.1:1/n?options=%00")
@given(urls())
def test_no_url_causes_a_traceback_or_shows_its_password(text: str) -> None:
    assume("sqlite:////" not in text)  # a path outside of the temporary folder
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        message = asyncio.run(start_error(text))
    assert SECRET not in message
    assert "\n" not in message


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@example(f"postgresql://u:{SECRET}@127.0.0.1:1/n?channel_binding=require", "MLFLOW_READ_REPLICA_BACKEND_STORE_URI")
@example(f"postgresql://u@127.0.0.1:1/n?user=u&password={SECRET}", "MLFLOW_REGISTRY_STORE_URI")
@given(urls(), st.sampled_from(["MLFLOW_REGISTRY_STORE_URI", "MLFLOW_READ_REPLICA_BACKEND_STORE_URI"]))
def test_no_url_of_a_registry_or_replica_causes_a_traceback_or_shows_its_password(text: str, variable: str) -> None:
    environ = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/n", "MLFLOW_PORT": "0", variable: text}
    resolved = resolve_all({}, environ)
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("railtrack")
    log.addHandler(handler)
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            with contextlib.suppress(StartError):
                try:
                    check_options(resolved, ())
                except StartError as error:
                    lines.append(str(error))
                    raise
            report = asyncio.run(run_doctor(resolved))
    finally:
        log.removeHandler(handler)
    for line in lines:
        assert SECRET not in line
        assert "\n" not in line
    assert SECRET not in repr(report)
    assert "This check failed" not in repr(report)


URLS = [
    f"postgresql://u:{SECRET}@a..b/name",
    f"postgresql://u@/name?host=/nope/a:b:c&password={SECRET}",
    f"postgresql://u:{SECRET}@127.0.0.1:1,127.0.0.1:2/name?sslmode=verify-ca",
    f"postgresql://u:{SECRET}@host:port/name",
    f"mysql://u:{SECRET}@host/name",
]


@pytest.mark.parametrize("text", URLS)
def test_doctor_and_the_commands_report_the_same(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StartError) as error:
        asyncio.run(start(text))
    report = asyncio.run(run_doctor(resolve_all({}, {"DATABASE_URL": text, "MLFLOW_PORT": "0"})))
    problems = [one.finding for one in report.findings if one.status is CheckStatus.PROBLEM]
    assert error.value.fault in problems
    assert run_command(Namespace(**{"database.uri": None, "data_folder": None})) == 1
    shown = capsys.readouterr().err
    assert error.value.fault in shown
    assert SECRET not in shown + repr(report)
