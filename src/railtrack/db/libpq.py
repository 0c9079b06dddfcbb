"""The connection parameters of libpq: their names and variables, service files, password files.

url.py reads them from a URL. tls.py and connector.py apply them.
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from railtrack.errors import StartError, describe_os_error

VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "client_encoding": "PGCLIENTENCODING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslcompression": "PGSSLCOMPRESSION",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcertmode": "PGSSLCERTMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "sslcrldir": "PGSSLCRLDIR",
    "sslsni": "PGSSLSNI",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "requirepeer": "PGREQUIREPEER",
    "require_auth": "PGREQUIREAUTH",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "krbsrvname": "PGKRBSRVNAME",
    "gsslib": "PGGSSLIB",
    "gssdelegation": "PGGSSDELEGATION",
    "min_protocol_version": "PGMINPROTOCOLVERSION",
    "max_protocol_version": "PGMAXPROTOCOLVERSION",
}
"""Parameter -> the variable that sets it where neither the URL nor a service does."""

WITHOUT_VARIABLE = (
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "replication",
    "sslpassword",
    "tcp_user_timeout",
)
PARAMETERS = frozenset((*VARIABLES, *WITHOUT_VARIABLE))

SERVER_PARAMETERS = ("application_name", "options")
"""Sent to the server when a connection starts."""

CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "sslcertmode": ("disable", "allow", "require"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "load_balance_hosts": ("disable", "random"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "ssl_min_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
}
NUMBERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)

NO_EFFECT = {
    "channel_binding": (
        ("require",),
        "the driver does not bind the login to the TLS channel. To be sure of the server, verify its certificate "
        "instead: sslmode=verify-full with sslrootcert=FILE, or sslrootcert=system for a public authority.",
    ),
    "client_encoding": ((), "the driver always uses UTF-8, which every text of MLflow fits into."),
    "gssdelegation": (("1",), "the driver does not delegate credentials."),
    "gsslib": (("sspi",), "the driver uses GSSAPI."),
    "max_protocol_version": (("3.2", "latest"), "the driver speaks version 3.0 of the protocol."),
    "min_protocol_version": (("3.2", "latest"), "the driver speaks version 3.0 of the protocol."),
    "require_auth": (
        (),
        "the driver logs in by the method that the server asks for. To be sure of the server, use sslmode=verify-full.",
    ),
    "requirepeer": ((), "the owner of the server's process is not checked."),
    "sslcompression": (("1",), "TLS is never compressed."),
    "sslsni": (("0",), "the driver always sends the host name to the server."),
}
"""Parameters that the driver cannot apply: the values that ask for it (all if empty), and what happens instead."""

UTF_8 = ("auto", "utf8", "unicode")
"""Values of client_encoding, without punctuation, that ask for what the driver does anyway."""

DEFAULT_PORT = 5432
DEFAULT_SOCKETS = ("/var/run/postgresql", "/run/postgresql", "/tmp")  # noqa: S108 (as compiled into libpq)
"""Where builds of libpq look for the server's socket if no host is given."""

_SECTION = re.compile(r"\[(.*)\]")


class Host(NamedTuple):
    """A server: its name, address, or the folder of its Unix socket."""

    name: str
    port: int
    address: str = ""
    """Connect to this address; the name is for the certificate only."""

    @property
    def is_socket(self) -> bool:
        return not self.address and self.name.startswith("/")

    def __str__(self) -> str:
        name = self.name or self.address
        if self.is_socket:
            name = name.replace("/", "%2F")
        return f"[{name}]:{self.port}" if ":" in name and not self.is_socket else f"{name}:{self.port}"


def hosts(parameters: Mapping[str, str]) -> tuple[Host, ...]:
    """Return the hosts in lists such as host=a,b and port=1,2. Raise ValueError if the lists do not fit."""
    names = parameters.get("host", "").split(",")
    addresses = parameters.get("hostaddr", "").split(",")
    ports = parameters.get("port", "").split(",")
    count = max(len(names), len(addresses))
    if 1 < len(names) != count or 1 < len(addresses) != count:
        raise ValueError(f"{len(names)} host names do not match {len(addresses)} addresses (hostaddr)")
    if len(ports) not in (1, count):
        raise ValueError(f"{len(ports)} ports do not match {count} hosts")
    names, addresses, ports = (values * count if len(values) == 1 else values for values in (names, addresses, ports))
    parsed = [_port(text) for text in ports]
    if not any(names) and not any(addresses):
        return tuple(Host(name, parsed[0]) for name in (*DEFAULT_SOCKETS, "localhost"))
    return tuple(
        Host(name or ("" if address else "localhost"), port, address)
        for name, port, address in zip(names, parsed, addresses, strict=True)
    )


def _port(text: str) -> int:
    if not text.strip():
        return DEFAULT_PORT
    try:
        port = int(text)
    except ValueError:
        raise ValueError("a port is not a number from 1 to 65535") from None  # it may be a part of a password
    if not 1 <= port <= 65535:
        raise ValueError(f"invalid port {port}; use a number from 1 to 65535")
    return port


def complete(given: Mapping[str, str], environ: Mapping[str, str], setting: str) -> dict[str, str]:
    """Add what a URL omits: from the service that it or PGSERVICE names, then from variables."""
    parameters = {name: value for name, value in given.items() if value}
    if service := parameters.pop("service", "") or environ.get("PGSERVICE", ""):
        for name, value in _service(service, environ, setting).items():
            parameters.setdefault(name, value)
    for name, variable in VARIABLES.items():
        if name != "service" and (value := environ.get(variable, "")):
            parameters.setdefault(name, value)
    return parameters


def _service(name: str, environ: Mapping[str, str], setting: str) -> dict[str, str]:
    """Return the parameters of a service. Raise StartError."""
    for file in _service_files(environ):
        try:
            text = file.read_text()
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            reason = describe_os_error(error) if isinstance(error, OSError) else "it is not UTF-8 text"
            raise StartError(f"{setting}: cannot read the service file {file}: {reason}.", "Correct it.") from None
        if (found := _section(text, name)) is not None:
            for parameter in found:
                if parameter not in PARAMETERS or parameter == "service":
                    raise StartError(
                        f"{setting}: the service {name!r} in {file} sets {parameter!r}, which is not supported.",
                        "Remove it there.",
                    )
            return found
    raise StartError(
        f"{setting}: there is no service {name!r} in {' or '.join(map(str, _service_files(environ)))}.",
        "Correct its name (service=NAME, PGSERVICE), or set PGSERVICEFILE to the file that has it.",
    )


def _service_files(environ: Mapping[str, str]) -> list[Path]:
    folder = environ.get("PGSYSCONFDIR", "/etc/postgresql-common")
    return [
        Path(environ.get("PGSERVICEFILE") or _home(environ) / ".pg_service.conf"),
        Path(folder) / "pg_service.conf",
    ]


def _section(text: str, name: str) -> dict[str, str] | None:
    """Return the section of a service file, None if there is none of that name. The first value of a name counts."""
    found: dict[str, str] | None = None
    is_inside = False
    for line in map(str.strip, text.splitlines()):
        if section := _SECTION.match(line):
            is_inside = found is None and section[1] == name
            if is_inside:
                found = {}
        elif is_inside and found is not None and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key.strip(), value)
    return found


def read_password(
    host: Host, user: str, database: str, parameters: Mapping[str, str], environ: Mapping[str, str]
) -> str:
    """Return the password of the first line that fits in the password file, "" if none does."""
    file = Path(parameters.get("passfile") or _home(environ) / ".pgpass")
    name = "localhost" if host.name in DEFAULT_SOCKETS else host.name or host.address
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077 or not file.is_file():
            return ""
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError, ValueError):
        return ""
    wanted = (name, str(host.port), database, user)
    for line in lines:
        if line.startswith("#"):
            continue
        fields = list(_fields(line))
        if len(fields) > 4 and all(field in ("*", want) for field, want in zip(fields, wanted, strict=False)):
            return fields[4]
    return ""


def is_password_file_public(parameters: Mapping[str, str], environ: Mapping[str, str]) -> bool:
    """Return True if others may read the password file, which is ignored then."""
    try:
        mode = Path(parameters.get("passfile") or _home(environ) / ".pgpass").stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) and bool(stat.S_IMODE(mode) & 0o077)


def _fields(line: str) -> Iterator[str]:
    """Split a line at colons; a backslash escapes a colon or a backslash."""
    for field in re.findall(r"((?:\\.|[^:\\]|\\$)*)(?::|$)", line):
        yield re.sub(r"\\(.)", r"\1", field)


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or os.path.expanduser("~"))  # noqa: PTH111 (Path.home() may raise)
