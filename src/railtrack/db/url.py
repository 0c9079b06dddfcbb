"""Parse database URLs in the forms that SQLAlchemy, libpq and platforms use, with libpq's variables.

Nothing here connects. The parameters of PostgreSQL are in libpq.py.
"""

import os
import pwd
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, quote_plus, unquote

from railtrack.db import Engine, libpq
from railtrack.db.libpq import DEFAULT_PORT, DEFAULT_SOCKETS, Host
from railtrack.db.tls import TlsContexts
from railtrack.errors import StartError

SETTING = "MLFLOW_BACKEND_STORE_URI (or DATABASE_URL)"
FORM = "postgresql://user:password@host:5432/name"

_POSTGRESQL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(.*)", re.DOTALL)
_SQLITE = re.compile(r"sqlite(?:\+\w+)?://(?:/(?P<path>[^?]*))?(?:\?(?P<query>.*))?")

# As in SQLAlchemy: a password may contain anything but "@", a user name anything but ":" and "/".
_LOGIN = re.compile(r"([^:/]*)(?::([^@]*))?@", re.DOTALL)
# libpq ends the login at "/": host/name?password=p@ss has none.
_WITHOUT_LOGIN = re.compile(r"[^:@/?,]*(?::\d*)?(?:,[^:@/?,]*(?::\d*)?)*(?:/[^@?]*)?\?(\w+)=")
_HOST = re.compile(r"(?:\[(?P<ipv6>[^\]\[@]*)\]|(?P<name>[^:@\[\]]*))(?::(?P<port>[^:@]*))?")
_WITH_PORT = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<name>[^:\[\]/]*)):(?P<port>\d*)")

DRIVER_PARAMETERS = ("async_fallback", "prepared_statement_cache_size", "prepared_statement_name_func")
"""Of SQLAlchemy's asyncpg dialect. They change nothing that a user of MLflow would notice."""
POOLER = "pgbouncer"
"""With this parameter, Prisma and Supabase mark the address of a transaction-mode pooler."""
ADVICE = {
    "schema": "to use a schema, add options=-csearch_path%3DNAME",
    "currentSchema": "to use a schema, add options=-csearch_path%3DNAME",
    "search_path": "to use a schema, add options=-csearch_path%3DNAME",
    "connection_limit": "GUNICORN_THREADS limits the connections of a worker",
    "pool_size": "GUNICORN_THREADS limits the connections of a worker",
    "max_overflow": "GUNICORN_THREADS limits the connections of a worker",
}
"""Parameters of other programs, and what has the same effect."""

SQLITE_NO_EFFECT = {
    "timeout": "a statement waits for up to 10 s for another process that writes.",
    "check_same_thread": "each connection has one thread.",
    "cached_statements": "the driver's default applies.",
    "isolation_level": "transactions are managed by the server.",
    "detect_types": "MLflow's columns need no conversion.",
}

OTHER_STORES = {
    "mysql": "MySQL",
    "mariadb": "MySQL",
    "mssql": "Microsoft SQL Server",
    "oracle": "Oracle",
}


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A parsed URL, completed by libpq's variables and files. On SQLite only `path` is set, relative or absolute."""

    engine: Engine
    path: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    hosts: tuple[Host, ...] = ()
    database: str = ""
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Parameters of libpq other than the fields above."""
    host_passwords: Mapping[Host, str] = field(default_factory=dict, repr=False)
    """From the password file."""
    warnings: tuple[str, ...] = ()
    """A line for each parameter that has no effect."""
    setting: str = SETTING
    """The setting that errors name."""

    @property
    def host(self) -> str:
        return self.hosts[0].name if self.hosts else ""

    @property
    def port(self) -> int:
        return self.hosts[0].port if self.hosts else DEFAULT_PORT

    @property
    def masked(self) -> str:
        """Return the URL without its password: `postgresql://user:***@host:5432/name`."""
        if self.engine == "sqlite":
            return f"sqlite:///{self.path}"
        user = quote(self.user, safe="")
        login = f"{user}:***@" if self.password else f"{user}@" if self.user else ""
        return f"postgresql://{login}{self.addresses}/{quote(self.database, safe='')}"

    @property
    def addresses(self) -> str:
        """Return the hosts with their ports, "" for the default ones."""
        return "" if self.has_default_hosts else ",".join(map(str, self.hosts))

    @property
    def has_default_hosts(self) -> bool:
        return not self.hosts or (self.hosts[0].name == DEFAULT_SOCKETS[0] and len(self.hosts) > len(DEFAULT_SOCKETS))

    @property
    def secrets(self) -> set[str]:
        """Return the passwords, as they are and as they are written in URLs."""
        plain = {self.password, self.options.get("sslpassword", ""), *self.host_passwords.values()} - {""}
        return plain | {quote(one, safe="") for one in plain} | {quote_plus(one) for one in plain}

    @property
    def pooler(self) -> bool:
        """Return True if the URL declares a transaction-mode pooler."""
        return self.options.get(POOLER) == "true"

    def password_of(self, host: Host) -> str:
        return self.password or self.host_passwords.get(host, "")


def parse_database_url(text: str, *, setting: str = SETTING, environ: Mapping[str, str] | None = None) -> DatabaseUrl:
    """Parse a URL. Raise StartError, which names `setting` and never contains a password."""
    try:
        if match := _SQLITE.fullmatch(text):
            return _sqlite(match, setting)
        if match := _POSTGRESQL.fullmatch(text):
            return _postgresql(match[1], setting, os.environ if environ is None else environ)
    except ValueError as error:
        raise StartError(f"{setting}: {error}.") from None
    raise _other_store(text, setting)


def _other_store(text: str, setting: str) -> StartError:
    scheme = text.partition(":")[0].partition("+")[0]
    if store := OTHER_STORES.get(scheme):
        return StartError(
            f"{setting}: {store} is not supported; Railtrack keeps its data in PostgreSQL or SQLite.",
            "Use postgresql:// or sqlite:///. docs/databases.md describes how to move the data.",
        )
    if scheme.startswith(("postgres", "sqlite")) and ":" in text:
        return StartError(f"{setting}: not a URL of the form {FORM} or sqlite:///file.db.")
    return StartError(
        f"{setting}: the data can be kept in PostgreSQL (postgresql://...) or SQLite (sqlite:///file.db) only.",
        "`mlflow migrate-filestore` converts a folder of MLflow's file store to SQLite.",
    )


def _sqlite(match: re.Match[str], setting: str) -> DatabaseUrl:
    raw = match["path"] or ""
    path = unquote(raw)
    if path in ("", ":memory:"):
        raise ValueError("SQLite needs a file that several processes can open, such as sqlite:///railtrack.db")
    _check_text("path", path)
    if path != raw and os.path.lexists(raw) and not os.path.lexists(path):
        path = raw  # SQLAlchemy before 2.1 did not decode it
    warnings = []
    for name, _ in parse_qsl(match["query"] or "", keep_blank_values=True):
        if name not in SQLITE_NO_EFFECT:
            raise ValueError(f"the option {name!r} of a SQLite URL is not supported; leave it out")
        warnings.append(f"{setting}: {name} has no effect: {SQLITE_NO_EFFECT[name]}")
    return DatabaseUrl("sqlite", path=path, warnings=tuple(warnings), setting=setting)


def _postgresql(rest: str, setting: str, environ: Mapping[str, str]) -> DatabaseUrl:
    given = _parameters(rest)
    pooler = given.pop(POOLER, "")
    if pooler not in ("", "true", "false"):
        raise ValueError(f"{POOLER} is neither true nor false")
    parameters = libpq.complete(given, environ, setting)
    for name, value in parameters.items():
        _check_value(name, value)
    for name in libpq.NUMBERS:
        if not re.fullmatch(r"\s*-?\d{1,9}\s*", parameters.get(name, "0"), re.ASCII):
            raise ValueError(f"{name} is not a whole number")
    hosts = libpq.hosts(parameters)
    user = parameters.get("user") or _system_user()
    database = parameters.get("dbname") or user
    password = parameters.get("password", "")
    options = {
        name: value
        for name, value in parameters.items()
        if name not in ("host", "hostaddr", "port", "user", "password", "dbname")
    }
    if pooler:
        options[POOLER] = pooler
    _complete_tls(options)
    warnings = [f"{setting}: {line}" for line in _warnings(options)]
    if options.get("sslmode") != "disable" and not all(host.is_socket for host in hosts):
        warnings += _check_tls_files(options, setting)
    host_passwords = {}
    if not password:
        for host in hosts:
            if found := libpq.read_password(host, user, database, parameters, environ):
                host_passwords[host] = found
        if libpq.is_password_file_public(parameters, environ):
            warnings.append(
                f"{setting}: the password file is ignored, because others may read it. Set its mode to 0600."
            )
    return DatabaseUrl(
        "postgresql",
        user=user,
        password=password,
        hosts=hosts,
        database=database,
        options=options,
        host_passwords=host_passwords,
        warnings=tuple(warnings),
        setting=setting,
    )


def _parameters(rest: str) -> dict[str, str]:
    """Return libpq's parameters of a URL without its scheme."""
    parameters: dict[str, str] = {}
    has_no_login = (match := _WITHOUT_LOGIN.match(rest)) is not None and match[1] in libpq.PARAMETERS
    if not has_no_login and (login := _LOGIN.match(rest)):
        parameters["user"] = unquote(login[1])
        parameters["password"] = unquote(login[2] or "")
        rest = rest[login.end() :]
    address, _, query = rest.partition("?")
    netloc, _, database = address.partition("/")
    parameters["dbname"] = unquote(database)
    names, ports = [], []
    for token in netloc.split(","):
        if not (match := _HOST.fullmatch(token)):
            raise ValueError(
                f"not a URL of the form {FORM}; special characters of the password have to be percent-encoded "
                "(@ as %40)"
            )
        names.append(unquote(match["ipv6"] or match["name"] or ""))
        ports.append(match["port"] or "")
    if any(names):
        parameters["host"] = ",".join(names)
    if any(ports):
        parameters["port"] = ",".join(ports)
    parameters.update(_query(query))
    return parameters


def _query(text: str) -> dict[str, str]:
    values: dict[str, list[str]] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        name = {"database": "dbname", "username": "user"}.get(key, key)
        if name == "ssl":  # of JDBC, node-postgres and SQLAlchemy's asyncpg dialect
            name, value = (
                "sslmode",
                {"true": "require", "1": "require", "false": "disable", "0": "disable"}.get(value.lower(), value),
            )
        if name in DRIVER_PARAMETERS:
            continue
        if name not in libpq.PARAMETERS and name != POOLER:
            advice = ADVICE.get(name, "leave it out")
            raise ValueError(f"the option {name!r} is not supported; {advice}")
        values.setdefault(name, []).append(value)
    parameters = {name: listed[-1] for name, listed in values.items() if listed[-1]}
    if len(values.get("port", ())) > 1:
        parameters["port"] = ",".join(values["port"])
    if any(values.get("host", ())):
        parameters |= _query_hosts(values["host"], has_ports="port" in parameters)
    return parameters


def _query_hosts(tokens: list[str], *, has_ports: bool) -> dict[str, str]:
    """Return host and port for host=a,b and for host=a:1&host=b:2."""
    names, ports = [], []
    for token in tokens if len(tokens) > 1 else tokens[0].split(","):
        if match := _WITH_PORT.fullmatch(token):
            names.append(match["ipv6"] or match["name"] or "")
            ports.append(match["port"])
        else:
            names.append(token)
            ports.append("")
    if not any(ports):
        return {"host": ",".join(names)}
    if has_ports:
        raise ValueError("ports are both in host and in port; use one of them")
    return {"host": ",".join(names), "port": ",".join(ports)}


def _check_text(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is not UTF-8 text") from None
    if "\0" in value:
        raise ValueError(f"{name} contains a NUL character")


def _check_value(name: str, value: str) -> None:
    _check_text(name, value)
    choices = libpq.CHOICES.get(name, ())
    if choices and value not in choices:
        raise ValueError(f"{name}={value!r} is not one of {', '.join(choices)}")
    if name == "gssencmode" and value == "require":
        raise ValueError("gssencmode=require is not supported; use TLS (sslmode=verify-full)")
    if name == "replication" and value.lower() not in ("false", "off", "no", "0"):
        raise ValueError("replication connections cannot be used; leave replication out")


def _complete_tls(options: dict[str, str]) -> None:
    # As in libpq: the system's list certifies any host, so the name must be verified.
    if options.get("sslrootcert") == "system" and options.setdefault("sslmode", "verify-full") != "verify-full":
        raise ValueError("sslrootcert=system requires sslmode=verify-full")
    if options.get("sslnegotiation") == "direct" and options.get("sslmode", "") not in (
        "require",
        "verify-ca",
        "verify-full",
    ):
        raise ValueError("sslnegotiation=direct requires sslmode=require, verify-ca or verify-full")


def _check_tls_files(options: Mapping[str, str], setting: str) -> list[str]:
    """Warn of files that do not exist, as libpq ignores them. Raise StartError for files that cannot be used."""
    contexts = TlsContexts(options, setting)
    contexts.get()
    return [f"{setting}: {name} has no effect: there is no such file." for name in contexts.missing_files()]


def _warnings(options: Mapping[str, str]) -> Iterator[str]:
    for name, (values, effect) in libpq.NO_EFFECT.items():
        value = options.get(name, "")
        if not value or (values and value.lower() not in values):
            continue
        if name == "client_encoding" and re.sub(r"\W|_", "", value.lower()) in libpq.UTF_8:
            continue
        yield f"{name}={value} has no effect: {effect}"


def _system_user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ValueError("the URL names no user, and this system has no name for its user; add one") from None
