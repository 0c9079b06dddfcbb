"""Every spelling of a database URL, and the errors for URLs that cannot be used."""

from pathlib import Path

import pytest

from railtrack.db.url import DatabaseUrl, mask, parse_database_url
from railtrack.errors import StartError

SPELLINGS = [
    "postgresql://user:secret@host:5433/name",
    "postgres://user:secret@host:5433/name",
    "postgresql+psycopg2://user:secret@host:5433/name",
    "postgresql+asyncpg://user:secret@host:5433/name",
    "postgresql+psycopg://user:secret@host:5433/name",
]


@pytest.mark.parametrize("text", SPELLINGS)
def test_all_spellings_mean_the_same(text: str) -> None:
    assert parse_database_url(text) == DatabaseUrl(
        "postgresql", user="user", password="secret", host="host", port=5433, database="name"
    )


def test_the_parts_of_a_url_may_be_percent_encoded() -> None:
    url = parse_database_url("postgresql://us%40er:p%40ss%2Fw%23rd%3F%25@host/na%20me")
    assert (url.user, url.password, url.database) == ("us@er", "p@ss/w#rd?%", "na me")
    assert url.driver_arguments()["dsn"] == "postgresql://us%40er:p%40ss%2Fw%23rd%3F%25@host:5432/na%20me"


def test_a_password_may_hold_special_characters_as_they_are_but_for_the_at_sign() -> None:
    url = parse_database_url("postgresql://user:a/b#c?d:e@host/name")
    assert url.password == "a/b#c?d:e"
    assert url.driver_arguments()["dsn"] == "postgresql://user:a%2Fb%23c%3Fd%3Ae@host:5432/name"


def test_what_a_url_leaves_out_has_a_default() -> None:
    url = parse_database_url("postgresql://host")
    assert (url.port, url.user, url.password, url.database) == (5432, "", "", "")


def test_an_ipv6_address_stands_in_brackets() -> None:
    url = parse_database_url("postgresql://user:secret@[fd12::1]:5433/name")
    assert url.host == "fd12::1"
    assert url.masked == "postgresql://user:***@[fd12::1]:5433/name"
    assert url.driver_arguments()["dsn"] == "postgresql://user:secret@[fd12::1]:5433/name"


def test_a_socket_is_named_by_its_folder() -> None:
    url = parse_database_url("postgresql://user@/name?host=/run/postgresql")
    assert url.driver_arguments()["dsn"] == "postgresql://user:@%2Frun%2Fpostgresql:5432/name"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:///relative.db", "relative.db"),
        ("sqlite:////absolute/a b.db", "/absolute/a b.db"),
        ("sqlite+pysqlite:///relative.db", "relative.db"),
    ],
)
def test_a_sqlite_file_is_relative_or_absolute(text: str, path: str) -> None:
    url = parse_database_url(text)
    assert (url.engine, url.path) == ("sqlite", path)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://user:secret@host:5432/railway", "postgresql://user:***@host:5432/railway"),
        ("postgres://user:secret@host", "postgresql://user:***@host:5432/"),
        ("postgresql://user@host/railway", "postgresql://user@host:5432/railway"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_its_password(text: str, shown: str) -> None:
    url = parse_database_url(text)
    assert url.masked == shown
    assert "secret" not in repr(url)


@pytest.mark.parametrize(
    "text",
    ["postgresql://user:secret@host/x", "postgres://user:se@cret@host:x/y?", "://u:secret@", "x://u:sec\nret@h"],
)
def test_a_url_that_cannot_be_read_is_masked_too(text: str) -> None:
    assert "cret" not in mask(text)
    assert "\nret" not in mask(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("postgresql://user:p@ss@host/name", "special characters of the password have to be percent-encoded"),
        ("postgresql://user:secret@host:port/name", "is not a URL of the form"),
        ("postgresql://user:secret@host:99999/name", "invalid port 99999"),
        ("postgresql://host/name?channel_binding=require", "the option 'channel_binding' is not supported"),
        ("postgresql://host/name?sslmode=always", "sslmode='always' is not one of"),
        ("postgresql://host/name?target_session_attrs=best", "target_session_attrs='best' is not one of"),
        ("postgresql://host/name?connect_timeout=soon", "connect_timeout is not a whole number"),
        ("postgresql://host/name?sslrootcert=/no/such/file", "the file of sslrootcert, /no/such/file, does not"),
        ("postgresql://host/name?sslmode=require&sslrootcert=system", "requires sslmode=verify-full"),
        ("sqlite:///a.db?timeout=5", "the option 'timeout' of a SQLite URL is not supported"),
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:///:memory:", "SQLite needs a file"),
        ("mysql://user:secret@host/name", "PostgreSQL (postgresql://...) or SQLite (sqlite:///file.db) only"),
        ("./mlruns", "PostgreSQL (postgresql://...) or SQLite (sqlite:///file.db) only"),
    ],
)
def test_an_unusable_url_is_rejected_with_the_reason(text: str, fault: str) -> None:
    with pytest.raises(StartError) as error:
        parse_database_url(text)
    line = str(error.value)
    assert fault in line
    assert line.startswith("MLFLOW_BACKEND_STORE_URI")
    assert "\n" not in line
    assert "secret" not in line


def test_a_verified_certificate_needs_somebody_to_vouch_for_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StartError, match="sslmode=verify-full needs sslrootcert="):
        parse_database_url("postgresql://host/name?sslmode=verify-full")
    system = parse_database_url("postgresql://host/name?sslrootcert=system").driver_arguments()
    assert system["ssl"].check_hostname


def test_the_options_reach_the_driver_and_the_server() -> None:
    url = parse_database_url(
        "postgresql://user:secret@host/name?sslmode=require&application_name=my+app&connect_timeout=3"
        "&options=-csearch_path%3Dmlflow&target_session_attrs=read-write"
    )
    arguments = url.driver_arguments()
    assert arguments["dsn"] == (
        "postgresql://user:secret@host:5432/name?sslmode=require&target_session_attrs=read-write"
    )
    assert arguments["server_settings"] == {"application_name": "my app", "options": "-csearch_path=mlflow"}
    assert arguments["timeout"] == 3


def test_a_pooler_may_be_named_in_the_url() -> None:
    assert parse_database_url("postgresql://host/name?pgbouncer=true").pooler
    assert not parse_database_url("postgresql://host/name").pooler
