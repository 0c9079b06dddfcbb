"""The settings of the server in groups, each setting declared once with its variables, flags, default and help.

The groups about artifacts: artifact_settings.py. How a setting is resolved from flags, variables and files: lookup.py.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from railtrack.config import parsers
from railtrack.config.artifact_settings import ArtifactSettings, AwsSettings, S3Settings
from railtrack.config.auth_config import auth_config_path, users_database_uri, variables_of_auth_config
from railtrack.config.env_file import load_env_file
from railtrack.config.login_settings import OidcSettings, TrustedHeaderSettings
from railtrack.config.lookup import (
    ResolvedSetting,
    Setting,
    assemble,
    declared_settings,
    default_of,
    derived,
    resolve,
    setting,
)
from railtrack.config.mlflow_options import unsupported_options
from railtrack.config.server_options import implied_values, option_reports
from railtrack.config.server_settings import ServerSettings
from railtrack.config.tls_settings import TlsSettings


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    uri: str = setting(
        "MLFLOW_BACKEND_STORE_URI",
        "DATABASE_URL",
        flags=("--backend-store-uri",),
        parse=parsers.text,
        default="",
        help="The database: `postgresql://user:password@host:5432/name` or `sqlite:///file.db`. "
        "Default: SQLite in the data folder. [databases.md](databases.md) has all forms, libpq's variables, TLS and "
        "failover.",
        secret=True,
        warn_if_empty=True,
    )
    replica_uri: str = setting(
        "MLFLOW_READ_REPLICA_BACKEND_STORE_URI",
        flags=("--read-replica-backend-store-uri",),
        parse=parsers.text,
        default="",
        help="A read replica of the PostgreSQL backend store, for get, search and history requests of clients that "
        "have changed nothing in the last half minute. If it is away or behind, reads go to the backend store "
        "([databases](databases.md#read-replica)).",
        secret=True,
    )
    replica_max_lag_s: int = setting(
        "RAILTRACK_REPLICA_MAX_LAG_S",
        flags=("--replica-max-lag",),
        parse=parsers.replica_lag,
        default="10",
        help="Seconds that the read replica may be behind.",
    )
    registry_uri: str = setting(
        "MLFLOW_REGISTRY_STORE_URI",
        flags=("--registry-store-uri",),
        parse=parsers.text,
        default="",
        help="The database of registered models, as MLflow can have a separate one. It has to be that of "
        "`MLFLOW_BACKEND_STORE_URI` ([record 16](adr/0016-one-database-for-tracking-and-registry.md)).",
        secret=True,
    )
    is_upgraded: bool = setting(
        "RAILTRACK_UPGRADE",
        switches={"--upgrade": "on"},
        parse=parsers.on_off,
        default="off",
        help="`on` lets the start upgrade the database of an older MLflow, as `railtrack db upgrade` does "
        "([databases](databases.md#a-database-of-an-older-mlflow)).",
    )
    wait_s: int = setting(
        "RAILTRACK_DB_WAIT_S",
        flags=("--db-wait",),
        parse=parsers.wait,
        default="60",
        help="Seconds to wait at startup for PostgreSQL to accept connections. A rejected login ends the wait at once.",
    )


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    """Protection of users whose browsers reach the server (docs/adr/0013-browser-protection.md)."""

    allowed_hosts: tuple[str, ...] = setting(
        "MLFLOW_SERVER_ALLOWED_HOSTS",
        flags=("--allowed-hosts",),
        parse=parsers.hosts,
        default="",
        help="Values of the `Host` header to accept, separated by commas, with the port unless it is 80 or 443, and "
        "with wildcards: `ml.example.com,mlflow:5000,*.example.org,10.*`; `*` for any. Default: any with a login; "
        "else addresses, names that nobody can register, and any name over TLS "
        "([operations](operations.md#host-names-and-origins)).",
    )
    allowed_origins: tuple[str, ...] = setting(
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS",
        flags=("--cors-allowed-origins",),
        parse=parsers.origins,
        default="",
        help="Origins of web pages that may use the server from a browser, separated by commas, with wildcards: "
        "`https://app.example.com,https://*.example.org`; `*` for any, without credentials. The server's own pages and "
        "those of `localhost` may always.",
    )
    frame_options: str = setting(
        "MLFLOW_SERVER_X_FRAME_OPTIONS",
        flags=("--x-frame-options",),
        parse=parsers.frame_options,
        default="SAMEORIGIN",
        help="Which pages may show the web interface in a frame: `SAMEORIGIN`, `DENY` for none, `NONE` for any.",
    )
    is_disabled: bool = setting(
        "MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE",
        switches={"--disable-security-middleware": "true"},
        parse=parsers.exactly_true,
        default="false",
        help="`true` accepts every host and origin, and lets any page frame the web interface. For tests only.",
    )

    @property
    def frame_options_header(self) -> str:
        """Return the X-Frame-Options header, "" for none."""
        return "" if self.is_disabled or self.frame_options == "NONE" else self.frame_options


@dataclass(frozen=True, slots=True)
class AuthSettings:
    mode: str = setting(
        "RAILTRACK_AUTH",
        flags=("--auth", "--app-name"),
        parse=parsers.auth_mode,
        default="auto",
        help="Whether requests need a login: `auto`, unless the server listens on a loopback address (`127.0.0.1`, "
        "`::1`, `localhost`); `on` (or `basic-auth`, as MLflow's `--app-name` calls it); or `off`, for everyone who "
        "can reach the server.",
    )
    tracking_auth: str = setting(
        "MLFLOW_SERVER_INFO_TRACKING_AUTH",
        parse=parsers.text,
        default="",
        help="Name of a plugin of MLflow's client for authentication. The web interface shows it in code to copy. It "
        "does not affect the login.",
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
    config_path: str = setting(
        "MLFLOW_AUTH_CONFIG_PATH",
        parse=auth_config_path,
        default="",
        help="Settings file of MLflow's basic-auth app. Its `admin_username`, `admin_password` and "
        "`default_permission` apply unless a variable is set.",
    )
    default_permission: str = setting(
        "MLFLOW_AUTH_DEFAULT_PERMISSION",
        parse=parsers.permission,
        default="READ",
        help="What every user may do with a resource on which it has no grant: `READ`, `USE`, `EDIT`, `MANAGE` or "
        "`NO_PERMISSIONS`.",
    )
    password_file: str = setting(
        "RAILTRACK_AUTH_PASSWORD_FILE",
        parse=parsers.text,
        default="",
        help="File to write the random password to, readable by this user only, instead of logging it.",
    )
    password_form: bool = setting(
        "RAILTRACK_AUTH_PASSWORD_FORM",
        parse=parsers.on_off,
        default="on",
        help="Whether the login page shows the form for a password. With `off`, only `/login?form=password` shows it.",
    )


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """The audit log of a server with login (docs/access.md)."""

    enabled: bool = setting(
        "RAILTRACK_AUDIT_LOG",
        parse=parsers.on_off,
        default="on",
        help="Whether a server with login records changes of access, deletions, logins and denied requests in its "
        "database ([access](access.md#the-audit-log)).",
    )
    days: int = setting(
        "RAILTRACK_AUDIT_DAYS",
        parse=parsers.number("number of days", 0, 36_500),
        default="365",
        help="Days after which entries of the audit log are deleted; 0 for never.",
    )
    max_rows: int = setting(
        "RAILTRACK_AUDIT_MAX_ROWS",
        parse=parsers.number("number of entries", 1000, 99_999_999),
        default="1000000",
        help="Entries of the audit log to keep; older ones are deleted. A fifth of them is for denied requests and "
        "failed logins.",
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

    token: str = setting(
        "RAILTRACK_METRICS_TOKEN",
        parse=parsers.token,
        default="",
        help="Bearer token for `/metrics`, of at least 16 characters. Without it, `/metrics` is for administrators if "
        "requests need a login, else for everyone.",
        secret=True,
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
class RegistrySettings:
    source_pattern: re.Pattern[str] | None = setting(  # noqa: RUF009 (it returns a dataclass field)
        "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX",
        parse=parsers.pattern,
        default="",
        help="Regular expression that the source of a new model version must match somewhere, such as `^s3://models/`.",
    )


@dataclass(frozen=True, slots=True)
class GraphQLSettings:
    """Limits of a GraphQL request. Those of its depth, selections and cost are fixed (wire/graphql_limits.py)."""

    max_root_fields: int = setting(
        "MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS",
        parse=parsers.fields,
        default="10",
        help="Fields at the root of a GraphQL request. Whatever it is, a request has at most 500 selections, and its "
        "cost is limited.",
    )
    max_aliases: int = setting(
        "MLFLOW_SERVER_GRAPHQL_MAX_ALIASES",
        parse=parsers.fields,
        default="10",
        help="Aliases of one selection set of a GraphQL request, including those of its fragments.",
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
    tls: TlsSettings = field(default_factory=TlsSettings)
    security: SecuritySettings = field(default_factory=SecuritySettings)
    auth: AuthSettings = field(default_factory=AuthSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)
    oidc: OidcSettings = field(default_factory=OidcSettings)
    auth_header: TrustedHeaderSettings = field(default_factory=TrustedHeaderSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    registry: RegistrySettings = field(default_factory=RegistrySettings)
    graphql: GraphQLSettings = field(default_factory=GraphQLSettings)
    webhooks: WebhookSettings = field(default_factory=WebhookSettings)
    data_folder: Path = setting(  # noqa: RUF009 (it returns a dataclass field)
        "RAILTRACK_DATA",
        flags=("--data",),
        parse=Path,
        default="./railtrack-data",
        help="The folder for SQLite and local artifacts.",
    )
    sources: Mapping[str, str] = derived(dict)
    """By path of a setting, the flag or variable that set it; settings with their default are not in it."""

    @property
    def needs_login(self) -> bool:
        """True if requests have to be authenticated."""
        return self.auth.mode == "on" or (self.auth.mode == "auto" and not self.server.is_loopback)

    @property
    def url(self) -> str:
        """Return the URL for a browser: the public one if it is known, else one for this machine."""
        server = self.server
        if server.railway_domain:
            return f"https://{server.railway_domain}{server.static_prefix}"
        host = "localhost" if server.host in ("0.0.0.0", "::") else server.host  # noqa: S104 (names for every address)
        scheme = "https" if self.tls.is_enabled else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{server.port}{server.static_prefix}"

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Return the patterns of allowed hosts. By default, any is allowed on a network where rebinding is useless.

        With a login, a rebound name has neither the cookie nor the password. The edge of a hosting platform routes by
        name, and the server does not know its public names.
        """
        if self.security.allowed_hosts or self.server.is_loopback:
            return self.security.allowed_hosts
        has_platform = self.server.platform_port is not None or bool(self.server.railway_service)
        return ("*",) if has_platform or self.needs_login else ()


SETTINGS = tuple(declared_settings(Settings))
SERVER_OPTIONS = ("server.uvicorn_opts", "server.gunicorn_opts", "server.waitress_opts")
RAILWAY_EDGE = "100.64.0.0/10"
"""The addresses from which Railway forwards the requests to a domain."""


def load(flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings from flags (by path, such as `server.port`; they win) and variables.

    Raise StartError for the first invalid one.
    """
    return settings_from(resolve_all(flags, environ))


def resolve_all(flags: Mapping[str, str | None], environ: Mapping[str, str] = os.environ) -> list[ResolvedSetting]:
    """Return every setting, valid or not."""
    environ = {**variables_of_auth_config(environ), **environ}
    options = [_server_options(one, flags, environ) for one in SETTINGS if one.path in SERVER_OPTIONS]
    implied = dict(value for one in options for value in implied_values(one.source, one.value or ()))
    parsed = {one.setting.path: one for one in options}
    resolved = [parsed.get(one.path) or resolve(one, flags, environ, implied) for one in SETTINGS]
    return list(_with_port_of_command_line(resolved))


def _server_options(one: Setting, flags: Mapping[str, str | None], environ: Mapping[str, str]) -> ResolvedSetting:
    resolved = resolve(one, flags, environ)
    return replace(resolved, warnings=(*resolved.warnings, *option_reports(resolved.source, resolved.value or ())))


def _with_port_of_command_line(resolved: Sequence[ResolvedSetting]) -> Iterator[ResolvedSetting]:
    """Yield the settings. `--port` sets PORT, too: in a container with a proxy, PORT is the proxy's."""
    port = next(one for one in resolved if one.setting.path == "server.port")
    for one in resolved:
        if one.setting.path == "server.platform_port" and one.source and port.source.startswith("-"):
            yield ResolvedSetting(one.setting, port.source, port.text, port.value)
        else:
            yield one


def mlflow_users_uri(environ: Mapping[str, str] = os.environ) -> str:
    """Return the database of MLflow's users, by its settings file. Raise StartError if there is no usable file."""
    return users_database_uri(environ)


def ignored_options(flags: Mapping[str, object], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return a line for each flag and variable of `mlflow server` that has no effect here."""
    return list(unsupported_options(flags, environ))


def settings_from(resolved: Iterable[ResolvedSetting]) -> Settings:
    """Build Settings. Raise StartError for the first invalid one."""
    resolved = list(resolved)
    settings = assemble(Settings, resolved)
    folder = settings.data_folder.absolute()
    server = settings.server
    has_default_proxies = any(one.setting.path == "server.trusted_proxies" and not one.source for one in resolved)
    if server.railway_service and has_default_proxies:
        server = replace(server, trusted_proxies=(*server.trusted_proxies, RAILWAY_EDGE))
    return replace(
        settings,
        sources={one.setting.path: one.source for one in resolved if one.source},
        server=server,
        data_folder=folder,
        database=replace(settings.database, uri=settings.database.uri or f"sqlite:///{folder / 'mlflow.db'}"),
        artifacts=replace(
            settings.artifacts, destination=settings.artifacts.destination or str(folder / "mlartifacts")
        ),
    )


def log_settings(resolved: Iterable[ResolvedSetting]) -> LogSettings:
    """Return the log settings. Invalid ones have their default, so that the errors can be logged."""
    return assemble(Settings, (default_of(one) if one.error else one for one in resolved)).logs


def add_env_file(path: str) -> None:
    """Add the variables of a file to those of this process, which win. Raise StartError if it cannot be read."""
    load_env_file(path, os.environ)
