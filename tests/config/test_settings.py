"""Settings: the precedence of sources, and errors for invalid values."""

from pathlib import Path

import pytest

from railtrack.config.parsers import is_loopback
from railtrack.config.settings import load
from railtrack.errors import StartError


def test_the_defaults_are_sqlite_and_a_folder_and_a_loopback_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load({}, {})
    assert settings.database.uri == f"sqlite:///{tmp_path}/railtrack-data/mlflow.db"
    assert settings.artifacts.destination == f"{tmp_path}/railtrack-data/mlartifacts"
    assert settings.artifacts.default_root == "mlflow-artifacts:/"
    assert (settings.server.host, settings.server.port, settings.server.workers, settings.server.threads) == (
        "127.0.0.1",
        5000,
        2,
        4,
    )
    assert settings.server.is_loopback


def test_a_flag_wins_over_its_variable_and_the_first_variable_over_the_second() -> None:
    environ = {"MLFLOW_BACKEND_STORE_URI": "sqlite:///a.db", "DATABASE_URL": "sqlite:///b.db", "MLFLOW_PORT": "5001"}
    assert load({}, environ).database.uri == "sqlite:///a.db"
    assert load({}, {"DATABASE_URL": "sqlite:///b.db"}).database.uri == "sqlite:///b.db"
    settings = load({"database.uri": "sqlite:///c.db", "server.port": "5002"}, environ)
    assert (settings.database.uri, settings.server.port) == ("sqlite:///c.db", 5002)


def test_an_empty_variable_counts_as_unset() -> None:
    settings = load({}, {"MLFLOW_PORT": "", "MLFLOW_BACKEND_STORE_URI": "", "DATABASE_URL": "sqlite:///b.db"})
    assert (settings.server.port, settings.database.uri) == (5000, "sqlite:///b.db")


def test_a_variable_can_be_read_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("postgresql://me:secret@host/db\n")
    settings = load({}, {"MLFLOW_BACKEND_STORE_URI_FILE": str(secret)})
    assert settings.database.uri == "postgresql://me:secret@host/db"
    with pytest.raises(StartError, match=r"MLFLOW_BACKEND_STORE_URI_FILE: cannot read the file .*: No such file"):
        load({}, {"MLFLOW_BACKEND_STORE_URI_FILE": str(tmp_path / "nope")})


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"MLFLOW_PORT": "http"}, "Invalid port in MLFLOW_PORT: 'http'. Use a number from 1 to 65535."),
        ({"MLFLOW_PORT": "65536"}, "Invalid port in MLFLOW_PORT: '65536'."),
        ({"MLFLOW_PORT": "-1"}, "Invalid port in MLFLOW_PORT: '-1'."),
        ({"PORT": "x"}, "Invalid port in PORT: 'x'."),
        ({"GUNICORN_WORKERS": "0"}, "Invalid number of workers in GUNICORN_WORKERS: '0'. Use a number from 1 to 64."),
        ({"GUNICORN_THREADS": "1.5"}, "Invalid number of threads in GUNICORN_THREADS: '1.5'."),
        ({"RAILTRACK_DB_WAIT_S": "soon"}, "Invalid number of seconds in RAILTRACK_DB_WAIT_S: 'soon'."),
        (
            {"RAILTRACK_AUTH": "maybe"},
            "Invalid value in RAILTRACK_AUTH: 'maybe'. Use one of auto, on, off, basic-auth.",
        ),
    ],
)
def test_the_error_for_an_invalid_value_is_one_line_with_its_variable(environ: dict[str, str], message: str) -> None:
    with pytest.raises(StartError) as caught:
        load({}, environ)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_error_for_an_invalid_flag_names_the_flag() -> None:
    with pytest.raises(StartError, match=r"^Invalid port in --port: 'x'\."):
        load({"server.port": "x"}, {})


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.1", False), ("db", False)],
)
def test_loopback_addresses_are_recognized(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("root", "location"),
    [("mlflow-artifacts:/", "mlflow-artifacts:/7"), ("s3://bucket/prefix", "s3://bucket/prefix/7")],
)
def test_the_location_of_an_experiment_is_below_the_root(root: str, location: str) -> None:
    assert load({"artifacts.default_root": root}, {}).artifacts.experiment_location(7) == location
