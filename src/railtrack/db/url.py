"""Parse database URLs in the forms that MLflow, libpq and platforms use, and derive the driver's arguments.

Nothing here connects.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode

from railtrack.db import Engine
from railtrack.errors import StartError

SETTING = "MLFLOW_BACKEND_STORE_URI (or DATABASE_URL)"

DEFAULT_PORT = 5432
CONNECT_TIMEOUT_S = 10

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SSL_FILES = ("sslrootcert", "sslcert", "sslkey")
SYSTEM_CERTIFICATES = "system"
HOME_CERTIFICATE = Path("~/.postgresql/root.crt")
SESSION_ATTRIBUTES = ("any", "primary", "standby", "read-write", "read-only", "prefer-standby")
DRIVER_OPTIONS = ("sslmode", *SSL_FILES, "target_session_attrs")
SERVER_OPTIONS = ("application_name", "options")
OPTIONS = (*DRIVER_OPTIONS, *SERVER_OPTIONS, "connect_timeout", "host", "pgbouncer")
"""libpq's names, and `pgbouncer`, with which Prisma and Supabase mark the address of a pooler."""

# As in SQLAlchemy, a password may contain anything but "@", which must be written %40.
_POSTGRESQL = re.compile(
    r"postgres(?:ql)?(?:\+\w+)?://"
    r"(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?"
    r"(?P<host>\[[^\]@]*\]|[^:/?@\[\]]*)(?::(?P<port>\d*))?"
    r"(?:/(?P<database>[^?]*))?"
    r"(?:\?(?P<query>.*))?"
)
_SQLITE = re.compile(r"sqlite(?:\+\w+)?://(?:/(?P<path>[^?]*))?(?:\?(?P<query>.*))?")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A parsed URL. On SQLite only `path` is set, relative or absolute as in the URL."""

    engine: Engine
    path: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: int = DEFAULT_PORT
    database: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def masked(self) -> str:
        """Return the URL without its password: `postgresql://user:***@host:5432/name`."""
        if self.engine == "sqlite":
            return f"sqlite:///{self.path}"
        login = f"{self.user}:***@" if self.password else f"{self.user}@" if self.user else ""
        return f"postgresql://{login}{self._address}"

    @property
    def pooler(self) -> bool:
        """Return True if the URL declares a transaction-mode pooler."""
        return self.options.get("pgbouncer") == "true"

    def driver_arguments(self) -> dict[str, Any]:
        """Return the arguments of asyncpg.connect. It reads what the URL omits from libpq's variables (PGUSER, ...)."""
        arguments: dict[str, Any] = {
            "timeout": int(self.options.get("connect_timeout", 0)) or CONNECT_TIMEOUT_S,
            "server_settings": {name: self.options[name] for name in SERVER_OPTIONS if name in self.options},
        }
        query = {name: self.options[name] for name in DRIVER_OPTIONS if name in self.options}
        if query.get("sslrootcert") == SYSTEM_CERTIFICATES:
            import ssl

            arguments["ssl"] = ssl.create_default_context()
            del query["sslrootcert"], query["sslmode"]
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user else ""
        arguments["dsn"] = f"postgresql://{login}{self._address}?{urlencode(query)}".rstrip("?")
        return arguments

    @property
    def _address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host.replace("/", "%2F")  # a socket folder
        return f"{host}:{self.port}/{quote(self.database, safe='')}"


def parse_database_url(text: str) -> DatabaseUrl:
    """Parse a URL. Raise StartError, which never contains a password."""
    if match := _SQLITE.fullmatch(text):
        return _sqlite(match)
    if match := _POSTGRESQL.fullmatch(text):
        return _postgresql(match)
    scheme = text.partition(":")[0]
    if re.fullmatch(r"(postgres|sqlite)\w*(\+\w+)?", scheme):
        raise _url_error(
            f"{mask(text)} is not a URL of the form postgresql://user:password@host:5432/name; "
            "special characters of the password have to be percent-encoded (@ as %40)"
        )
    raise _url_error("the data can be kept in PostgreSQL (postgresql://...) or SQLite (sqlite:///file.db) only")


def mask(text: str) -> str:
    """Replace everything that may belong to a password, also in a malformed URL."""
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", text, flags=re.DOTALL)


def _sqlite(match: re.Match[str]) -> DatabaseUrl:
    path, query = match["path"] or "", match["query"] or ""
    if path in ("", ":memory:"):
        raise _url_error("SQLite needs a file that several processes can open, such as sqlite:///railtrack.db")
    if query:
        name = query.partition("=")[0]
        raise _url_error(f"the option {name!r} of a SQLite URL is not supported; leave it out")
    return DatabaseUrl("sqlite", path=path)


def _postgresql(match: re.Match[str]) -> DatabaseUrl:
    options = _options(match["query"] or "")
    return DatabaseUrl(
        "postgresql",
        user=unquote(match["user"] or ""),
        password=unquote(match["password"] or ""),
        host=options.get("host") or match["host"].strip("[]"),
        port=_port(match["port"]),
        database=unquote(match["database"] or ""),
        options=options,
    )


def _port(text: str | None) -> int:
    port = int(text) if text else DEFAULT_PORT
    if not 1 <= port <= 65535:
        raise _url_error(f"invalid port {port}; use a number from 1 to 65535")
    return port


def _options(query: str) -> dict[str, str]:
    options = {name: value for name, value in parse_qsl(query, keep_blank_values=True) if value}
    for name in options:
        if name not in OPTIONS:
            known = ", ".join(OPTIONS)
            raise _url_error(f"the option {name!r} is not supported; leave it out. Supported: {known}")
    _check_choice(options, "sslmode", SSL_MODES)
    _check_choice(options, "target_session_attrs", SESSION_ATTRIBUTES)
    _check_choice(options, "pgbouncer", ("true", "false"))
    if not options.get("connect_timeout", "0").isdecimal():
        raise _url_error("connect_timeout is not a whole number of seconds")
    _check_certificates(options)
    return options


def _check_choice(options: Mapping[str, str], name: str, choices: tuple[str, ...]) -> None:
    if name in options and options[name] not in choices:
        raise _url_error(f"{name}={options[name]!r} is not one of {', '.join(choices)}")


def _check_certificates(options: dict[str, str]) -> None:
    """Raise StartError for missing files, which the driver would report as a server that cannot be reached."""
    verified = options.get("sslmode", "").startswith("verify")
    if verified and "sslrootcert" not in options and not HOME_CERTIFICATE.expanduser().is_file():
        mode = options["sslmode"]
        raise _url_error(f"sslmode={mode} needs sslrootcert=FILE, or sslrootcert=system for the system's list")
    if options.get("sslrootcert") == SYSTEM_CERTIFICATES:
        # As in libpq: the system's list certifies any host, so the name must be verified.
        if options.setdefault("sslmode", "verify-full") != "verify-full":
            raise _url_error("sslrootcert=system requires sslmode=verify-full")
        return
    for name in SSL_FILES:
        if name in options and not Path(options[name]).is_file():
            raise _url_error(f"the file of {name}, {options[name]}, does not exist")


def _url_error(fault: str) -> StartError:
    return StartError(f"{SETTING}: {fault}.")
