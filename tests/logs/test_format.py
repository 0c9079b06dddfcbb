"""Log lines as text and JSON: one event per line, no forged lines, no secrets, and the documented startup lines."""

import asyncio
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
from tests.faults.http_load import Connection
from tests.servers.databases import scratch_database
from tests.servers.postgres import PostgresServer
from tests.servers.processes import TIMEOUT_S, coverage_environment, free_port
from tests.servers.railtrack import railtrack_server

from railtrack.logs import redaction
from railtrack.logs.format import TEXT_FORMAT, TEXT_TIME, JsonFormatter, TextFormatter
from railtrack.logs.redaction import redact_secrets, redacted

KEY, SECRET, TOKEN, PASSWORD = "AKIAEXAMPLE0000", "wJalr/XUtn+FEMI", "session-token-77", "pass word&%"
AUTHORIZATION = "a-token-of-a-client"
SEARCH = "/api/2.0/mlflow/experiments/search?max_results=7"
FORGED = "quiet\n[2026-01-01 00:00:00 +0000] [1] [INFO] forged\r\x1b[31m\x85\u2028end"


@pytest.fixture
def secrets() -> Iterator[None]:
    redact_secrets((KEY, SECRET, TOKEN, PASSWORD))
    yield
    redact_secrets(())


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    about = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("railtrack", logging.ERROR, "", 0, message, args, about)


def failed(message: str) -> Exception:
    try:
        raise RuntimeError(message) from ValueError(f"because of {message}")
    except RuntimeError as error:
        return error


def test_a_forged_line_in_a_text_message_is_indented() -> None:
    for made in (record("logged: %s", FORGED), record("logged", error=failed(FORGED))):
        lines = TextFormatter(TEXT_FORMAT, TEXT_TIME).format(made).split("\n")
        assert re.match(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+\d{4}\] \[\d+\] \[ERROR\] logged", lines[0])
        assert all(line.startswith("    ") for line in lines[1:])
        assert "forged\\r\\x1b[31m\\x85\\u2028end" in "\n".join(lines)
        assert not re.search(r"[\r\x1b\x85\u2028]", "\n".join(lines))


def test_a_json_line_is_one_line_with_all_its_parts() -> None:
    line = JsonFormatter().format(record("logged: %s", FORGED, error=failed(FORGED)))
    assert len(line.splitlines()) == 1 or "\u2028" in line
    assert "\n" not in line
    found = json.loads(line)
    assert found.keys() == {"time", "level", "logger", "pid", "message", "exception"}
    assert (found["level"], found["logger"], found["pid"]) == ("error", "railtrack", os.getpid())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])
    assert found["message"] == f"logged: {FORGED}"
    assert "RuntimeError" in found["exception"]


@pytest.mark.parametrize("formatter", [TextFormatter(TEXT_FORMAT), JsonFormatter()])
def test_secrets_are_redacted_in_every_part_of_a_line(formatter: logging.Formatter, secrets: None) -> None:
    logged = (
        f"keys {KEY}:{SECRET}, {TOKEN}; password={PASSWORD}; Authorization: Bearer abcdef.ghi-jkl Basic dXNlcjpwYXNz="
    )
    line = formatter.format(record("%s", logged, error=failed(logged)))
    for secret in (KEY, SECRET, TOKEN, PASSWORD, "abcdef.ghi-jkl", "dXNlcjpwYXNz"):
        assert secret not in line
    assert line.count("***") >= 18  # six of them in the message, in the error, and in its cause


def test_passwords_in_urls_and_presigned_urls_are_redacted() -> None:
    assert redacted("dsn postgresql://me:se:cr/et@host:5432/db?x=1") == "dsn postgresql://me:***@host:5432/db?x=1"
    signed = "https://s3.example.com/b/k?X-Amz-Credential=AKIA%2F1&X-Amz-Signature=0a1b2c&x=1"
    assert redacted(signed) == "https://s3.example.com/b/k?X-Amz-Credential=***&X-Amz-Signature=***&x=1"
    assert redacted("nothing of the kind, 12:30 me@host") == "nothing of the kind, 12:30 me@host"


def test_redaction_takes_linear_time_on_hostile_text() -> None:
    began = time.monotonic()
    hostile = "://:" * 50_000
    assert redacted(hostile) == hostile
    assert time.monotonic() - began < 20  # 0.7 s; without a bound, two minutes


def test_a_secret_is_redacted_as_a_whole_word_only(secrets: None) -> None:
    redact_secrets(("postgres", "abc"))
    assert redacted("postgresql://postgres:x@h/postgres abc") == "postgresql://***:***@h/*** abc"
    redact_secrets(())
    assert redaction.redacted("postgres") == "postgres"


def start(folder: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("railtrack")), "server"]
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), **coverage_environment(), **environ}
    return subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_a_failed_start_is_logged_in_the_configured_format(tmp_path: Path) -> None:
    uri = f"postgresql://me:{SECRET}@127.0.0.1:{free_port()}/db"
    done = start(tmp_path, MLFLOW_BACKEND_STORE_URI=uri, RAILTRACK_DB_WAIT_S="1", RAILTRACK_LOG_FORMAT="json")
    assert done.returncode == 1
    last = objects(done.stderr)[-1]
    assert last["level"] == "error"
    assert last["message"].startswith("Error: Could not connect to backend store postgresql://me:***@127.0.0.1:")
    assert objects(done.stdout)[1]["message"] == "Starting MLflow Tracking Server"
    assert SECRET not in done.stdout + done.stderr
    wrong = start(tmp_path, MLFLOW_PORT="x", RAILTRACK_LOG_FORMAT="json")
    assert objects(wrong.stderr)[0]["message"].startswith("Error: Invalid port in MLFLOW_PORT: 'x'.")
    neither = start(tmp_path, RAILTRACK_LOG_FORMAT="xml")
    assert neither.stderr.startswith("Error: Invalid value in RAILTRACK_LOG_FORMAT: 'xml'. Use one of text, json.")


@pytest.mark.slow
def test_every_line_of_a_server_is_json_if_configured(tmp_path: Path) -> None:
    environment = {"RAILTRACK_LOG_FORMAT": "json", "RAILTRACK_ACCESS_LOG": "on", "AWS_SECRET_ACCESS_KEY": SECRET}
    with railtrack_server(tmp_path / "server", environment=environment) as server:
        asyncio.run(_ask(server.port, f"/no/such%0Apath?token={TOKEN}"))
        server.stop()
        lines = objects(server.log())
    messages = [line["message"] for line in lines]
    assert messages[:3] == ["=" * 40, "Starting MLflow Tracking Server", "=" * 40]
    assert any(re.fullmatch(r"Listening at: http://127\.0\.0\.1:\d+ \(\d+\)", message) for message in messages)
    assert {"gunicorn.error", "railtrack.start", "railtrack.access"} <= {line["logger"] for line in lines}
    asked = [line for line in lines if line.get("path", "").startswith("/no/")]
    assert [(line["path"], line["status"], line["route"]) for line in asked] == [
        ("/no/such%0Apath?token=***", 404, None)
    ]
    assert SECRET not in server.log()


@pytest.mark.slow
def test_the_level_drops_lower_levels_but_not_the_startup_lines(tmp_path: Path) -> None:
    with railtrack_server(tmp_path / "server", environment={"RAILTRACK_LOG_LEVEL": "warning"}) as server:
        server.stop()
        log = server.log()
    assert log.startswith(f"{'=' * 40}\nStarting MLflow Tracking Server\n{'=' * 40}\n")
    assert "[INFO]" not in log


async def _ask(port: int, path: str) -> None:
    connection = Connection(port)
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {AUTHORIZATION}\r\n\r\n"
    await connection.send(head.encode())
    connection.close()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_server_that_loses_its_database_logs_no_secret(form: str, tmp_path: Path, postgres: PostgresServer) -> None:
    """At level debug, with a failure that logs the driver's message."""
    environment = {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "RAILTRACK_LOG_FORMAT": form,
        "RAILTRACK_LOG_LEVEL": "debug",
        "RAILTRACK_ACCESS_LOG": "on",
    }
    with scratch_database("postgresql", tmp_path, postgres) as database:
        with_password = database.replace("postgres@", f"postgres:{quote(PASSWORD)}@")
        assert with_password != database
        with railtrack_server(tmp_path / "server", with_password, workers=1, environment=environment) as server:
            asyncio.run(_ask(server.port, SEARCH))
            asyncio.run(_shut_out(database))
            asyncio.run(_ask(server.port, SEARCH))
            server.stop()
            log = server.log()
    assert log.count(SEARCH) >= 2
    assert "429" in log
    for secret in (KEY, SECRET, TOKEN, PASSWORD, quote(PASSWORD), AUTHORIZATION):
        assert secret not in log


async def _shut_out(database: str) -> None:
    """Let nobody into the database any more, and out with those who are in."""
    address, _, name = database.rpartition("/")
    connection = await asyncpg.connect(f"{address}/postgres")
    await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await connection.execute("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = $1", name)
    await connection.close()
