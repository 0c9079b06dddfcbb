"""The settings: one table of variables and flags, parsed once into a frozen Settings; named nowhere else."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from railtrack.config import parsers
from railtrack.config.lookup import Found, Setting, default_of, look_up
from railtrack.config.sanitize import cleaned


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
    aws_web_identity_token_file: str
    aws_role_arn: str
    aws_role_session_name: str
    sts_endpoint: str
    aws_profile: str
    aws_shared_credentials_file: str
    aws_container_credentials_relative_uri: str
    aws_container_credentials_full_uri: str
    aws_container_authorization_token: str
    aws_container_authorization_token_file: str
    s3_instance_role: str
    ec2_metadata_endpoint: str
    aws_ca_bundle: str
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
    trusted_proxies: tuple[str, ...]
    static_prefix: str
    metrics: bool
    expose_prometheus: str
    log_format: str
    log_level: str
    access_log: bool
    webhook_secret_key: str
    webhook_schemes: tuple[str, ...]
    webhook_private: bool
    webhook_limit_s: int
    webhook_retries: int
    db_wait_s: int
    data: Path

    @property
    def loopback(self) -> bool:
        """The server can be reached from this machine only."""
        return parsers.is_loopback(self.host)

    @property
    def exposes_metrics(self) -> bool:
        return self.metrics or bool(self.expose_prometheus)

    def artifact_location(self, experiment_id: int) -> str:
        """Where a new experiment keeps its artifacts unless it says otherwise."""
        return f"{self.default_artifact_root.rstrip('/')}/{experiment_id}"


SETTINGS = (
    Setting(
        "backend_store_uri",
        ("MLFLOW_BACKEND_STORE_URI", "DATABASE_URL"),
        ("--backend-store-uri",),
        parsers.text,
        "",
        "The database: `postgresql://user:password@host:5432/name`, or `sqlite:///file.db`. "
        "Default: SQLite in the data folder.",
        secret=True,
        warn_empty=True,
    ),
    Setting(
        "default_artifact_root",
        ("MLFLOW_DEFAULT_ARTIFACT_ROOT",),
        ("--default-artifact-root",),
        parsers.text,
        "mlflow-artifacts:/",
        "What the artifact location of a new experiment starts with. `mlflow-artifacts:/`: clients send their "
        "artifacts through the server and need no keys.",
    ),
    Setting(
        "artifacts_destination",
        ("MLFLOW_ARTIFACTS_DESTINATION",),
        ("--artifacts-destination",),
        parsers.text,
        "",
        "Where `mlflow-artifacts:` lives: a folder, or `s3://bucket/prefix`. "
        "Default: `mlartifacts` in the data folder.",
    ),
    Setting(
        "artifact_locations",
        ("RAILTRACK_ARTIFACT_LOCATIONS",),
        ("--artifact-locations",),
        parsers.names,
        "",
        "Further folders and `s3://bucket/prefix` locations, separated by commas, whose artifacts the server may "
        "show: for experiments that keep theirs elsewhere than the two settings above say.",
    ),
    Setting(
        "aws_access_key_id",
        ("AWS_ACCESS_KEY_ID",),
        (),
        parsers.text,
        "",
        "The key of an S3-compatible store. With an `s3://` location, keys, a profile or a role are needed.",
        secret=True,
    ),
    Setting(
        "aws_secret_access_key", ("AWS_SECRET_ACCESS_KEY",), (), parsers.text, "", "The key's secret.", secret=True
    ),
    Setting(
        "aws_session_token", ("AWS_SESSION_TOKEN",), (), parsers.text, "", "What temporary keys come with.", secret=True
    ),
    Setting(
        "aws_web_identity_token_file",
        ("AWS_WEB_IDENTITY_TOKEN_FILE",),
        (),
        parsers.text,
        "",
        "The file with the token for which STS gives the role's keys, as Kubernetes puts it there.",
    ),
    Setting("aws_role_arn", ("AWS_ROLE_ARN",), (), parsers.text, "", "The role that is assumed with that token."),
    Setting(
        "aws_role_session_name",
        ("AWS_ROLE_SESSION_NAME",),
        (),
        parsers.text,
        "railtrack",
        "The name under which it is assumed.",
    ),
    Setting("sts_endpoint", ("AWS_ENDPOINT_URL_STS",), (), parsers.endpoint, "", "STS. Default: the region's own."),
    Setting(
        "aws_profile", ("AWS_PROFILE",), (), parsers.text, "", "The profile whose keys are taken where none are set."
    ),
    Setting(
        "aws_shared_credentials_file",
        ("AWS_SHARED_CREDENTIALS_FILE",),
        (),
        parsers.text,
        "~/.aws/credentials",
        "The file with the profiles.",
    ),
    Setting(
        "aws_container_credentials_relative_uri",
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
        (),
        parsers.text,
        "",
        "Where the agent of an ECS task has the keys of its role; the platform sets it.",
    ),
    Setting(
        "aws_container_credentials_full_uri",
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI",),
        (),
        parsers.text,
        "",
        "The same as a whole URL, as on EKS: by `https`, or of a loopback address or one of Amazon's agents.",
    ),
    Setting(
        "aws_container_authorization_token",
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN",),
        (),
        parsers.text,
        "",
        "What that agent is shown.",
        secret=True,
    ),
    Setting(
        "aws_container_authorization_token_file",
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",),
        (),
        parsers.text,
        "",
        "The file with it; it may change.",
    ),
    Setting(
        "s3_instance_role",
        ("RAILTRACK_S3_INSTANCE_ROLE",),
        (),
        parsers.one_of("on", "off"),
        "off",
        "`on`: the keys are those of the EC2 instance's role. Without it no metadata address is ever asked.",
    ),
    Setting(
        "ec2_metadata_endpoint",
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT",),
        (),
        parsers.endpoint,
        "http://169.254.169.254",
        "The instance's metadata service.",
    ),
    Setting(
        "aws_ca_bundle",
        ("AWS_CA_BUNDLE",),
        (),
        parsers.readable,
        "",
        "A file of certificates (PEM) that are trusted in place of the system's, for a store with one of its own.",
    ),
    Setting(
        "s3_endpoint",
        ("AWS_S3_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        (),
        parsers.endpoint,
        "",
        "The URL of an S3-compatible store: Cloudflare R2, Backblaze B2, Railway, MinIO. "
        "Default: Amazon's in the region.",
        one_value=True,
    ),
    Setting(
        "s3_region",
        ("AWS_REGION", "AWS_DEFAULT_REGION"),
        (),
        parsers.text,
        "",
        "The store's region. Default: `auto` on R2 and Railway, as the host has it on B2, else `us-east-1`, or where "
        "the store then says that the bucket is.",
    ),
    Setting(
        "s3_addressing",
        ("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE",),
        (),
        parsers.one_of("auto", "path", "virtual"),
        "auto",
        "Where the bucket stands in URLs: `path`, `virtual` (in the host name), or what is usual with the endpoint.",
    ),
    Setting(
        "s3_presigned",
        ("RAILTRACK_S3_PRESIGNED",),
        ("--s3-presigned",),
        parsers.auto_on_off,
        "auto",
        "Whether clients that can do so send large files to the store themselves, and read them there, by presigned "
        "URLs. `auto`: where a trial shows that it works and the endpoint isn't in a private network. `on`: there too.",
    ),
    Setting(
        "host",
        ("MLFLOW_HOST",),
        ("--host", "-h"),
        parsers.host,
        "127.0.0.1",
        "The address to listen on. `0.0.0.0` also listens on `[::]` where the machine has IPv6.",
    ),
    Setting("port", ("MLFLOW_PORT",), ("--port", "-p"), parsers.port, "5000", "The port to listen on."),
    Setting(
        "platform_port",
        ("PORT",),
        (),
        parsers.optional_port,
        "",
        "The port that a platform injects; listened on as well where it differs from `MLFLOW_PORT`.",
    ),
    Setting("workers", ("GUNICORN_WORKERS",), ("--workers", "-w"), parsers.workers, "2", "Worker processes."),
    Setting(
        "threads",
        ("GUNICORN_THREADS",),
        ("--threads",),
        parsers.threads,
        "4",
        "Requests of one worker that may be at the database at once: the size of its connection pool.",
    ),
    Setting(
        "auth",
        ("RAILTRACK_AUTH",),
        ("--auth",),
        parsers.auto_on_off,
        "auto",
        "Login comes in a later version: until then the server is open, whatever this says except `on`, "
        "which is refused.",
    ),
    Setting(
        "allowed_hosts",
        ("MLFLOW_SERVER_ALLOWED_HOSTS",),
        ("--allowed-hosts",),
        parsers.names,
        "",
        "Further Host names, separated by commas, that a server on a loopback address answers to; `*` for any.",
    ),
    Setting(
        "trusted_proxies",
        ("RAILTRACK_TRUSTED_PROXIES", "FORWARDED_ALLOW_IPS"),
        ("--trusted-proxies", "--forwarded-allow-ips"),
        parsers.proxies,
        "127.0.0.1,::1",
        "Addresses and networks of proxies, separated by commas, whose `X-Forwarded-` headers are believed; "
        "`*` for every peer, `none` for nobody.",
    ),
    Setting(
        "static_prefix",
        ("MLFLOW_STATIC_PREFIX",),
        ("--static-prefix",),
        parsers.prefix,
        "",
        "What all paths begin with, `/mlflow` say, behind a proxy that hands them on as they are.",
    ),
    Setting(
        "metrics",
        ("RAILTRACK_METRICS",),
        ("--metrics",),
        parsers.on_off,
        "off",
        "Whether Prometheus finds metrics at `/metrics` (docs/operations.md).",
    ),
    Setting(
        "expose_prometheus",
        ("MLFLOW_EXPOSE_PROMETHEUS",),
        ("--expose-prometheus",),
        parsers.text,
        "",
        "MLflow's spelling of the same: any folder. Nothing is written there.",
    ),
    Setting(
        "log_format",
        ("RAILTRACK_LOG_FORMAT",),
        ("--log-format",),
        parsers.one_of("text", "json"),
        "text",
        "The log's lines: `text`, or `json`, an object each.",
    ),
    Setting(
        "log_level",
        ("RAILTRACK_LOG_LEVEL",),
        ("--log-level",),
        parsers.one_of("debug", "info", "warning", "error"),
        "info",
        "The least that is logged: `debug`, `info`, `warning` or `error`. The lines of the start are always shown.",
    ),
    Setting(
        "access_log",
        ("RAILTRACK_ACCESS_LOG",),
        ("--access-log",),
        parsers.on_off,
        "off",
        "Whether every request gets a line in the log.",
    ),
    Setting(
        "webhook_secret_key",
        ("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY",),
        (),
        parsers.fernet_key,
        "",
        "32 random bytes in URL-safe base64, with which the secrets of webhooks are encrypted: the same for every "
        "server of a database. Without it webhooks work, but can have no secret.",
        secret=True,
    ),
    Setting(
        "webhook_schemes",
        ("MLFLOW_WEBHOOK_ALLOWED_SCHEMES",),
        (),
        parsers.web_schemes,
        "https",
        "What the URLs of webhooks may begin with, separated by commas: `https`, `http`.",
    ),
    Setting(
        "webhook_private",
        ("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS",),
        (),
        parsers.true_or_false,
        "false",
        "Whether webhooks may lead to addresses of private networks and to this machine. `true` lets everybody who "
        "may make webhooks send requests in there.",
    ),
    Setting(
        "webhook_limit_s",
        ("MLFLOW_WEBHOOK_REQUEST_TIMEOUT",),
        (),
        parsers.seconds_of_a_request,
        "30",
        "Seconds that one delivery to a webhook may take.",
    ),
    Setting(
        "webhook_retries",
        ("MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES",),
        (),
        parsers.retries,
        "11",
        "How often a delivery is tried again, at growing intervals: 11 times take about an hour.",
    ),
    Setting(
        "db_wait_s",
        ("RAILTRACK_DB_WAIT_S",),
        ("--db-wait",),
        parsers.seconds,
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
    return settings_of(find(flags, environ))


def find(flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> list[Found]:
    """Every setting of the table, right or wrong."""
    return [look_up(setting, flags, environ) for setting in SETTINGS]


def settings_of(found: Iterable[Found]) -> Settings:
    """Raises StartError for the first wrong one."""
    parsed: dict[str, Any] = {}
    for one in found:
        if one.fault:
            raise one.fault
        parsed[one.setting.field] = one.value
    parsed["data"] = data = parsed["data"].absolute()
    parsed["backend_store_uri"] = parsed["backend_store_uri"] or f"sqlite:///{data / 'mlflow.db'}"
    parsed["artifacts_destination"] = parsed["artifacts_destination"] or str(data / "mlartifacts")
    assert {field.name for field in fields(Settings)} == set(parsed)
    return Settings(**parsed)


def log_settings(found: Iterable[Found]) -> tuple[str, str]:
    """The log's format and level, the usual ones where they are wrong: what else is wrong is told in that form."""
    by_field = {one.setting.field: one for one in found}
    form, level = (by_field[field] for field in ("log_format", "log_level"))
    return form.value or form.setting.default, level.value or level.setting.default


def client_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """For one who has a client's environment: what is wrong and concerns a server only is passed over."""
    found = find({}, environ)
    of_a_client = ("aws_", "s3_", "artifacts_destination")
    return settings_of(
        default_of(one) if one.fault and not one.setting.field.startswith(of_a_client) else one for one in found
    )


class ClientLogin(NamedTuple):
    """What MLflow's clients send to log in, "" for what is not set."""

    user: str
    password: str
    token: str


def client_login(environ: Mapping[str, str] = os.environ) -> ClientLogin:
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    return ClientLogin(*(cleaned(environ.get(name, "")) for name in names))
