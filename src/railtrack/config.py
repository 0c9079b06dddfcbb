"""The settings: one table of variables and flags, parsed once into a frozen Settings; named nowhere else."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from railtrack.errors import StartError

WORKERS_LIMIT = 64
THREADS_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server runs with. Paths are absolute, URIs as given."""

    backend_store_uri: str
    default_artifact_root: str
    artifacts_destination: str
    artifact_locations: tuple[str, ...]
    aws_access_key_id: str
    aws_secret_access_key: str
    aws_session_token: str
    aws_profile: str
    aws_shared_credentials_file: str
    s3_endpoint: str
    s3_region: str
    s3_addressing: str
    s3_presigned: str
    host: str
    port: int
    platform_port: int | None
    workers: int
    threads: int
    auth: str
    allowed_hosts: tuple[str, ...]
    db_wait_s: int
    data: Path

    @property
    def loopback(self) -> bool:
        """The server can be reached from this machine only."""
        return is_loopback(self.host)

    def artifact_location(self, experiment_id: int) -> str:
        """Where a new experiment keeps its artifacts unless it says otherwise."""
        return f"{self.default_artifact_root.rstrip('/')}/{experiment_id}"


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table: `variables` in the order in which they win, below the flag."""

    field: str
    variables: tuple[str, ...]
    flags: tuple[str, ...]
    parse: Callable[[str], Any]
    default: str
    help: str
    secret: bool = False
    one_value: bool = False
    """Two variables with different values are refused, rather than one of them passed over."""

    @property
    def name(self) -> str:
        return self.variables[0]


def _text(value: str) -> str:
    return value


def _port(value: str) -> int:
    return _whole_number(value, 1, 65535)


def _workers(value: str) -> int:
    return _whole_number(value, 1, WORKERS_LIMIT)


def _threads(value: str) -> int:
    return _whole_number(value, 1, THREADS_LIMIT)


def _seconds(value: str) -> int:
    return _whole_number(value, 0, 3600)


def _optional_port(value: str) -> int | None:
    return _port(value) if value else None


def _names(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _auto_on_off(value: str) -> str:
    if value not in ("auto", "on", "off"):
        raise ValueError("is not one of auto, on, off")
    return value


def _addressing(value: str) -> str:
    if value not in ("auto", "path", "virtual"):
        raise ValueError("is not one of auto, path, virtual")
    return value


def _endpoint(value: str) -> str:
    """The URL without a slash at its end."""
    if not value:
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.port == 0:
        raise ValueError("is not a URL of a store, such as https://s3.eu-west-1.amazonaws.com")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("has more than a host and a port; the bucket belongs into the s3:// location")
    return f"{parts.scheme}://{parts.netloc}"


def _whole_number(value: str, least: int, most: int) -> int:
    if not value.isascii() or not value.isdigit() or not least <= int(value[:9]) <= most:
        raise ValueError(f"is not a whole number from {least} to {most}")
    return int(value)


SETTINGS = (
    Setting(
        "backend_store_uri",
        ("MLFLOW_BACKEND_STORE_URI", "DATABASE_URL"),
        ("--backend-store-uri",),
        _text,
        "",
        "The database: `postgresql://user:password@host:5432/name`, or `sqlite:///file.db`. "
        "Default: SQLite in the data folder.",
        secret=True,
    ),
    Setting(
        "default_artifact_root",
        ("MLFLOW_DEFAULT_ARTIFACT_ROOT",),
        ("--default-artifact-root",),
        _text,
        "mlflow-artifacts:/",
        "What the artifact location of a new experiment starts with. `mlflow-artifacts:/`: clients send their "
        "artifacts through the server and need no keys.",
    ),
    Setting(
        "artifacts_destination",
        ("MLFLOW_ARTIFACTS_DESTINATION",),
        ("--artifacts-destination",),
        _text,
        "",
        "Where `mlflow-artifacts:` lives: a folder, or `s3://bucket/prefix`. "
        "Default: `mlartifacts` in the data folder.",
    ),
    Setting(
        "artifact_locations",
        ("RAILTRACK_ARTIFACT_LOCATIONS",),
        ("--artifact-locations",),
        _names,
        "",
        "Further folders and `s3://bucket/prefix` locations, separated by commas, whose artifacts the server may "
        "show: for experiments that keep theirs elsewhere than the two settings above say.",
    ),
    Setting(
        "aws_access_key_id",
        ("AWS_ACCESS_KEY_ID",),
        (),
        _text,
        "",
        "The key of an S3-compatible store. With an `s3://` location, keys or a profile are needed.",
        secret=True,
    ),
    Setting("aws_secret_access_key", ("AWS_SECRET_ACCESS_KEY",), (), _text, "", "The key's secret.", secret=True),
    Setting("aws_session_token", ("AWS_SESSION_TOKEN",), (), _text, "", "What temporary keys come with.", secret=True),
    Setting("aws_profile", ("AWS_PROFILE",), (), _text, "", "The profile whose keys are taken where none are set."),
    Setting(
        "aws_shared_credentials_file",
        ("AWS_SHARED_CREDENTIALS_FILE",),
        (),
        _text,
        "~/.aws/credentials",
        "The file with the profiles.",
    ),
    Setting(
        "s3_endpoint",
        ("AWS_S3_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        (),
        _endpoint,
        "",
        "The URL of an S3-compatible store: Cloudflare R2, Backblaze B2, Railway, MinIO. "
        "Default: Amazon's in the region.",
        one_value=True,
    ),
    Setting(
        "s3_region",
        ("AWS_REGION", "AWS_DEFAULT_REGION"),
        (),
        _text,
        "",
        "The store's region. Default: `auto` on R2 and Railway, as the host has it on B2, else `us-east-1`.",
    ),
    Setting(
        "s3_addressing",
        ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE",),
        (),
        _addressing,
        "auto",
        "Where the bucket stands in URLs: `path`, `virtual` (in the host name), or what is usual with the endpoint.",
    ),
    Setting(
        "s3_presigned",
        ("RAILTRACK_S3_PRESIGNED",),
        ("--s3-presigned",),
        _auto_on_off,
        "auto",
        "Whether clients that can do so send large files to the store themselves, and read them there, by presigned "
        "URLs. `auto`: where a trial shows that it works and the endpoint isn't in a private network. `on`: there too.",
    ),
    Setting(
        "host",
        ("MLFLOW_HOST",),
        ("--host", "-h"),
        _text,
        "127.0.0.1",
        "The address to listen on. `0.0.0.0` also listens on `[::]` where the machine has IPv6.",
    ),
    Setting("port", ("MLFLOW_PORT",), ("--port", "-p"), _port, "5000", "The port to listen on."),
    Setting(
        "platform_port",
        ("PORT",),
        (),
        _optional_port,
        "",
        "The port that a platform injects; listened on as well where it differs from `MLFLOW_PORT`.",
    ),
    Setting("workers", ("GUNICORN_WORKERS",), ("--workers", "-w"), _workers, "2", "Worker processes."),
    Setting(
        "threads",
        ("GUNICORN_THREADS",),
        ("--threads",),
        _threads,
        "4",
        "Requests of one worker that may be at the database at once: the size of its connection pool.",
    ),
    Setting(
        "auth",
        ("RAILTRACK_AUTH",),
        ("--auth",),
        _auto_on_off,
        "auto",
        "Login comes in a later version: until then the server is open, whatever this says except `on`, "
        "which is refused.",
    ),
    Setting(
        "allowed_hosts",
        ("MLFLOW_SERVER_ALLOWED_HOSTS",),
        ("--allowed-hosts",),
        _names,
        "",
        "Further Host names, separated by commas, that a server on a loopback address answers to; `*` for any.",
    ),
    Setting(
        "db_wait_s",
        ("RAILTRACK_DB_WAIT_S",),
        ("--db-wait",),
        _seconds,
        "60",
        "Seconds that the start waits for PostgreSQL to accept connections; a refused login ends the wait at once.",
    ),
    Setting(
        "data",
        ("RAILTRACK_DATA",),
        ("--data",),
        Path,
        "./railtrack-data",
        "The folder for SQLite and local artifacts.",
    ),
)


def load(flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from flags (by field name; they win) and variables. Raises StartError for the first wrong one."""
    values = {setting.field: _value(setting, flags, environ) for setting in SETTINGS}
    values["data"] = data = values["data"].absolute()
    values["backend_store_uri"] = values["backend_store_uri"] or f"sqlite:///{data / 'mlflow.db'}"
    values["artifacts_destination"] = values["artifacts_destination"] or str(data / "mlartifacts")
    assert {field.name for field in fields(Settings)} == set(values)
    return Settings(**values)


def _value(setting: Setting, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Any:
    source, text = _given(setting, flags, environ)
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = "its value" if setting.secret else repr(text)
        raise StartError(f"{source}: {shown} {error}. {setting.help}") from None


def _given(setting: Setting, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> tuple[str, str]:
    """Where the value comes from, and its text; an empty variable counts as unset."""
    if flag := flags.get(setting.field):
        return setting.flags[0], flag
    found = _given_by_variables(setting, environ)
    source, text = next(found, (setting.name, setting.default))
    if setting.one_value:
        for other, another in found:
            if another.rstrip("/") != text.rstrip("/"):
                raise StartError(f"{source} and {other} are set to different values. Keep one of them.")
    return source, text


def _given_by_variables(setting: Setting, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for variable in setting.variables:
        if text := environ.get(variable, ""):
            yield variable, text
        elif path := environ.get(f"{variable}_FILE", ""):
            yield f"{variable}_FILE", _file_text(variable, path)


def _file_text(variable: str, path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{variable}_FILE: cannot read {path!r} ({error}). Point it to a readable file.") from None


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reachable from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
