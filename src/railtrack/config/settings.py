"""The settings of the server in groups, each setting declared once with its variables, flags, default and help.

How a setting is resolved from flags, variables and files: lookup.py.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from railtrack.config import parsers
from railtrack.config.lookup import ResolvedSetting, assemble, declared_settings, default_of, resolve, setting
from railtrack.config.sanitize import sanitized


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    uri: str = setting(
        "MLFLOW_BACKEND_STORE_URI",
        "DATABASE_URL",
        flags=("--backend-store-uri",),
        parse=parsers.text,
        default="",
        help="The database: `postgresql://user:password@host:5432/name` or `sqlite:///file.db`. "
        "Default: SQLite in the data folder.",
        secret=True,
        warn_if_empty=True,
    )
    wait_s: int = setting(
        "RAILTRACK_DB_WAIT_S",
        flags=("--db-wait",),
        parse=parsers.wait,
        default="60",
        help="Seconds to wait at startup for PostgreSQL to accept connections. A rejected login ends the wait at once.",
    )


@dataclass(frozen=True, slots=True)
class ArtifactSettings:
    default_root: str = setting(
        "MLFLOW_DEFAULT_ARTIFACT_ROOT",
        flags=("--default-artifact-root",),
        parse=parsers.text,
        default="mlflow-artifacts:/",
        help="The URI under which new experiments store artifacts. With `mlflow-artifacts:/`, clients upload and "
        "download through the server and need no credentials.",
    )
    destination: str = setting(
        "MLFLOW_ARTIFACTS_DESTINATION",
        flags=("--artifacts-destination",),
        parse=parsers.text,
        default="",
        help="Where the server stores `mlflow-artifacts:`: a folder or `s3://bucket/prefix`. "
        "Default: `mlartifacts` in the data folder.",
    )
    locations: tuple[str, ...] = setting(
        "RAILTRACK_ARTIFACT_LOCATIONS",
        flags=("--artifact-locations",),
        parse=parsers.names,
        default="",
        help="Further folders and `s3://bucket/prefix` locations that the server may read, separated by commas. "
        "Needed for experiments whose artifacts are outside of the two locations above.",
    )

    def experiment_location(self, experiment_id: int) -> str:
        """Return the artifact location of a new experiment that names none."""
        return f"{self.default_root.rstrip('/')}/{experiment_id}"


@dataclass(frozen=True, slots=True)
class AwsSettings:
    access_key_id: str = setting(
        "AWS_ACCESS_KEY_ID",
        parse=parsers.text,
        default="",
        help="Access key for S3. An `s3://` location needs an access key, a profile or a role.",
        secret=True,
    )
    secret_access_key: str = setting(
        "AWS_SECRET_ACCESS_KEY",
        parse=parsers.text,
        default="",
        help="Secret of the access key.",
        secret=True,
    )
    session_token: str = setting(
        "AWS_SESSION_TOKEN",
        parse=parsers.text,
        default="",
        help="Session token of temporary credentials.",
        secret=True,
    )
    web_identity_token_file: str = setting(
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        parse=parsers.text,
        default="",
        help="File with the token that STS exchanges for credentials of `AWS_ROLE_ARN`. Kubernetes mounts it.",
    )
    role_arn: str = setting(
        "AWS_ROLE_ARN", parse=parsers.text, default="", help="The role to assume with the web identity token."
    )
    role_session_name: str = setting(
        "AWS_ROLE_SESSION_NAME", parse=parsers.text, default="railtrack", help="Session name of the assumed role."
    )
    sts_endpoint: str = setting(
        "AWS_ENDPOINT_URL_STS", parse=parsers.endpoint, default="", help="URL of STS. Default: STS of the region."
    )
    profile: str = setting(
        "AWS_PROFILE", parse=parsers.text, default="", help="Profile to use if no access key is set."
    )
    config_file: str = setting(
        "AWS_CONFIG_FILE",
        parse=parsers.text,
        default="~/.aws/config",
        help="File with the roles, SSO sessions and `credential_process` programs of profiles.",
    )
    shared_credentials_file: str = setting(
        "AWS_SHARED_CREDENTIALS_FILE",
        parse=parsers.text,
        default="~/.aws/credentials",
        help="File with the access keys of profiles.",
    )
    container_credentials_relative_uri: str = setting(
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        parse=parsers.text,
        default="",
        help="Path of the task role's credentials on the ECS agent. ECS sets it.",
    )
    container_credentials_full_uri: str = setting(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        parse=parsers.text,
        default="",
        help="URL of the container's credentials. EKS sets it. Must use `https`, a loopback address, or an address of "
        "Amazon's agents.",
    )
    container_authorization_token: str = setting(
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        parse=parsers.text,
        default="",
        help="Authorization token for the container's credentials.",
        secret=True,
    )
    container_authorization_token_file: str = setting(
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        parse=parsers.text,
        default="",
        help="File with the authorization token, read again for each request.",
    )
    instance_role: bool = setting(
        "RAILTRACK_S3_INSTANCE_ROLE",
        parse=parsers.on_off,
        default="off",
        help="`on`: use the role of the EC2 instance. `off`: never contact the instance's metadata service.",
    )
    ec2_metadata_endpoint: str = setting(
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        parse=parsers.endpoint,
        default="http://169.254.169.254",
        help="URL of the instance's metadata service.",
    )
    ca_bundle: str = setting(
        "AWS_CA_BUNDLE",
        parse=parsers.readable,
        default="",
        help="File of certificates (PEM) to trust instead of the system's, for a store with a private CA.",
    )


@dataclass(frozen=True, slots=True)
class S3Settings:
    endpoint: str = setting(
        "AWS_S3_ENDPOINT_URL",
        "MLFLOW_S3_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL",
        parse=parsers.endpoint,
        default="",
        help="URL of an S3-compatible store: Cloudflare R2, Backblaze B2, Railway, MinIO. "
        "Default: Amazon S3 in the region.",
        one_value=True,
    )
    region: str = setting(
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        parse=parsers.text,
        default="",
        help="Region of the store. Default: `auto` for R2 and Railway, the region in the host name for B2, else "
        "`us-east-1`, corrected to the region that the store reports for the bucket.",
    )
    addressing: str = setting(
        "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE",
        parse=parsers.one_of("auto", "path", "virtual"),
        default="auto",
        help="Position of the bucket in URLs: `path`, `virtual` (in the host name), or `auto`, the endpoint's default.",
    )
    presigned: str = setting(
        "RAILTRACK_S3_PRESIGNED",
        flags=("--s3-presigned",),
        parse=parsers.auto_on_off,
        default="auto",
        help="Whether clients transfer large files to and from the store directly, by presigned URLs. `auto`: if a "
        "probe succeeds and the endpoint is not in a private network. `on`: in private networks, too.",
    )


@dataclass(frozen=True, slots=True)
class ServerSettings:
    host: str = setting(
        "MLFLOW_HOST",
        flags=("--host", "-h"),
        parse=parsers.host,
        default="127.0.0.1",
        help="The address to listen on. `0.0.0.0` also listens on `[::]` if the machine has IPv6.",
    )
    port: int = setting(
        "MLFLOW_PORT", flags=("--port", "-p"), parse=parsers.port, default="5000", help="The port to listen on."
    )
    platform_port: int | None = setting(
        "PORT",
        parse=parsers.optional_port,
        default="",
        help="The port that a hosting platform assigns. The server listens on it in addition to `MLFLOW_PORT`.",
    )
    workers: int = setting(
        "GUNICORN_WORKERS", flags=("--workers", "-w"), parse=parsers.workers, default="2", help="Worker processes."
    )
    threads: int = setting(
        "GUNICORN_THREADS",
        flags=("--threads",),
        parse=parsers.threads,
        default="4",
        help="Database connections of each worker: how many of its requests can use the database at the same time.",
    )
    request_memory_mb: int | None = setting(
        "RAILTRACK_REQUEST_MEMORY_MB",
        flags=("--request-memory",),
        parse=parsers.optional_megabytes,
        default="",
        help="Memory in MB that clients can make one worker hold: bodies, responses, uploads. What exceeds it waits or "
        "gets 429. Default: from the memory limit (docs/sizing.md).",
    )
    allowed_hosts: tuple[str, ...] = setting(
        "MLFLOW_SERVER_ALLOWED_HOSTS",
        flags=("--allowed-hosts",),
        parse=parsers.names,
        default="",
        help="Further values of the `Host` header that a server on a loopback address accepts, separated by commas; "
        "`*` for any.",
    )
    trusted_proxies: tuple[str, ...] = setting(
        "RAILTRACK_TRUSTED_PROXIES",
        "FORWARDED_ALLOW_IPS",
        flags=("--trusted-proxies", "--forwarded-allow-ips"),
        parse=parsers.proxies,
        default="127.0.0.1,::1",
        help="Addresses and networks of proxies whose `X-Forwarded-` headers are trusted, separated by commas; "
        "`*` for every peer, `none` for no one.",
    )
    static_prefix: str = setting(
        "MLFLOW_STATIC_PREFIX",
        flags=("--static-prefix",),
        parse=parsers.prefix,
        default="",
        help="Prefix of all paths, such as `/mlflow`, behind a proxy that forwards paths unchanged.",
    )

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach the server."""
        return parsers.is_loopback(self.host)


@dataclass(frozen=True, slots=True)
class AuthSettings:
    mode: str = setting(
        "RAILTRACK_AUTH",
        flags=("--auth",),
        parse=parsers.auto_on_off,
        default="off",
        help="Whether requests need a login: `on`, `off`, or `auto`: unless the server listens on a loopback address.",
    )
    admin_username: str = setting(
        "MLFLOW_AUTH_ADMIN_USERNAME",
        parse=parsers.text,
        default="admin",
        help="Name of the administrator that the start creates if no other exists.",
    )
    admin_password: str = setting(
        "MLFLOW_AUTH_ADMIN_PASSWORD",
        parse=parsers.text,
        default="",
        help="Password of that administrator, of at least 12 characters. Default: a random one, which the start logs "
        "once, and which has to be changed at the first login. No effect once there is an administrator.",
        secret=True,
    )
    password_file: str = setting(
        "RAILTRACK_AUTH_PASSWORD_FILE",
        parse=parsers.text,
        default="",
        help="File to write the random password to, readable by this user only, instead of logging it.",
    )


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    enabled: bool = setting(
        "RAILTRACK_METRICS",
        flags=("--metrics",),
        parse=parsers.on_off,
        default="off",
        help="Whether to serve Prometheus metrics at `/metrics` (docs/operations.md).",
    )
    expose_prometheus: str = setting(
        "MLFLOW_EXPOSE_PROMETHEUS",
        flags=("--expose-prometheus",),
        parse=parsers.text,
        default="",
        help="MLflow's spelling of the same: any folder name enables metrics. Nothing is written to the folder.",
    )

    @property
    def is_exposed(self) -> bool:
        return self.enabled or bool(self.expose_prometheus)


@dataclass(frozen=True, slots=True)
class LogSettings:
    format: str = setting(
        "RAILTRACK_LOG_FORMAT",
        flags=("--log-format",),
        parse=parsers.one_of("text", "json"),
        default="text",
        help="Log format: `text`, or `json` with one object per line.",
    )
    level: str = setting(
        "RAILTRACK_LOG_LEVEL",
        flags=("--log-level",),
        parse=parsers.one_of("debug", "info", "warning", "error"),
        default="info",
        help="Minimum log level: `debug`, `info`, `warning` or `error`. Startup lines are always logged.",
    )
    access_log: bool = setting(
        "RAILTRACK_ACCESS_LOG",
        flags=("--access-log",),
        parse=parsers.on_off,
        default="off",
        help="Whether to log a line for every request.",
    )


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    secret_key: str = setting(
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",
        parse=parsers.fernet_key,
        default="",
        help="Key that encrypts the secrets of webhooks: 32 random bytes in URL-safe base64, the same for all servers "
        "of a database. Without it, webhooks work but cannot have a secret.",
        secret=True,
    )
    allowed_schemes: tuple[str, ...] = setting(
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES",
        parse=parsers.web_schemes,
        default="https",
        help="URL schemes that webhooks may use, separated by commas: `https`, `http`.",
    )
    allow_private_ips: bool = setting(
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS",
        parse=parsers.true_or_false,
        default="false",
        help="Whether webhooks may send to private networks and to this machine. With `true`, everyone who may create "
        "webhooks can send requests into your network.",
    )
    request_timeout_s: int = setting(
        "MLFLOW_WEBHOOK_REQUEST_TIMEOUT",
        parse=parsers.request_timeout,
        default="30",
        help="Timeout of one webhook delivery in seconds.",
    )
    max_retries: int = setting(
        "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES",
        parse=parsers.retries,
        default="11",
        help="Retries of a failed delivery, with exponential backoff: 11 retries take about an hour.",
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of a server. `settings_from` makes paths absolute and fills in defaults that need the data
    folder.
    """

    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    artifacts: ArtifactSettings = field(default_factory=ArtifactSettings)
    aws: AwsSettings = field(default_factory=AwsSettings)
    s3: S3Settings = field(default_factory=S3Settings)
    server: ServerSettings = field(default_factory=ServerSettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    data_folder: Path = setting(  # noqa: RUF009 (it returns a dataclass field)
        "RAILTRACK_DATA",
        flags=("--data",),
        parse=Path,
        default="./railtrack-data",
        help="The folder for SQLite and local artifacts.",
    )

    @property
    def needs_login(self) -> bool:
        """True if requests have to be authenticated."""
        return self.auth.mode == "on" or (self.auth.mode == "auto" and not self.server.is_loopback)


SETTINGS = tuple(declared_settings(Settings))
CLIENT_SETTINGS = ("aws.", "s3.", "artifacts.destination")
"""Paths of the settings that `railtrack verify` uses, too."""


def load(flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings from flags (by path, such as `server.port`; they win) and variables.

    Raise StartError for the first invalid one.
    """
    return settings_from(resolve_all(flags, environ))


def resolve_all(flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> list[ResolvedSetting]:
    """Return every setting, valid or not."""
    return [resolve(one, flags, environ) for one in SETTINGS]


def settings_from(resolved: Iterable[ResolvedSetting]) -> Settings:
    """Build Settings. Raise StartError for the first invalid one."""
    settings = assemble(Settings, resolved)
    folder = settings.data_folder.absolute()
    return replace(
        settings,
        data_folder=folder,
        database=replace(settings.database, uri=settings.database.uri or f"sqlite:///{folder / 'mlflow.db'}"),
        artifacts=replace(
            settings.artifacts, destination=settings.artifacts.destination or str(folder / "mlartifacts")
        ),
    )


def log_settings(resolved: Iterable[ResolvedSetting]) -> LogSettings:
    """Return the log settings. Invalid ones have their default, so that the errors can be logged."""
    return assemble(Settings, (default_of(one) if one.error else one for one in resolved)).logs


def client_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return settings from the environment of a client. Settings that only a server uses fall back to their default if
    they are invalid.
    """
    return settings_from(
        default_of(one) if one.error and not one.setting.path.startswith(CLIENT_SETTINGS) else one
        for one in resolve_all({}, environ)
    )


class ClientLogin(NamedTuple):
    """The login that MLflow's clients send; "" for what is not set."""

    user: str
    password: str
    token: str


def client_login(environ: Mapping[str, str] = os.environ) -> ClientLogin:
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    return ClientLogin(*(sanitized(environ.get(name, "")) for name in names))
