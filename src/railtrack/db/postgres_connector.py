"""Connections to the first suitable one of several PostgreSQL hosts, as libpq makes them.

asyncpg connects. It does not compare the addresses of a name, does not limit the time of each host, and knows no
keepalives. The pool is in postgres.py.
"""

import asyncio
import random
import socket
from typing import Any
from urllib.parse import urlencode

import asyncpg
from asyncpg import exceptions as pg

from railtrack.db.libpq import SERVER_PARAMETERS, Host
from railtrack.db.tls import TlsContexts
from railtrack.db.url import DatabaseUrl
from railtrack.errors import StartError

CONNECT_TIMEOUT_S = 10
HOST_TIMEOUT_S = 5
"""For each of several hosts: the next one has to be reached while requests wait (recovery.HOLD_S)."""

KEEPALIVE_OPTIONS = {
    "keepalives_idle": "TCP_KEEPIDLE",
    "keepalives_interval": "TCP_KEEPINTVL",
    "keepalives_count": "TCP_KEEPCNT",
    "tcp_user_timeout": "TCP_USER_TIMEOUT",
}
"""Parameter -> the socket option, which not every system has."""

WRITABLE = ("read-write", "primary")


class PostgresConnector:
    """Opens connections to the hosts of a URL."""

    def __init__(self, url: DatabaseUrl, *, read_only: bool) -> None:
        """Of several hosts, accept a writable one by default, and with `read_only` any."""
        self._url = url
        self._options = options = url.options
        self._tls = TlsContexts(options, url.setting)
        several = len(url.hosts) > 1 and not url.has_default_hosts
        self.session_attribute = options.get("target_session_attrs") or (
            "read-write" if several and not read_only else "any"
        )
        default_timeout_s = HOST_TIMEOUT_S if several else CONNECT_TIMEOUT_S
        given_timeout_s = int(options.get("connect_timeout", 0))
        self._timeout_s = given_timeout_s if given_timeout_s > 0 else default_timeout_s
        self._last: Host | None = None

    @property
    def server_settings(self) -> dict[str, str]:
        """Return the settings that the URL asks the server for."""
        settings = {name: self._options[name] for name in SERVER_PARAMETERS if name in self._options}
        if "application_name" not in settings:
            settings["application_name"] = self._options.get("fallback_application_name", "railtrack")
        return settings

    async def connect(self, *args: Any, **driver_options: Any) -> Any:
        """Connect to the first suitable host. `driver_options` are of asyncpg.connect, as its pool passes them.

        If the request is cancelled meanwhile, the attempt completes, within its timeout, and is closed. asyncpg would
        abandon its socket. When the server closes that, asyncio logs "Future exception was never retrieved".
        """
        attempt = asyncio.ensure_future(self._connect_to_any(driver_options))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            attempt.add_done_callback(_close_unused)
            raise

    async def probe(self) -> None:
        """Connect to the host of the last connection, and run a statement there. Raise the driver's errors."""
        hosts = [self._last] if self._last else await self._candidates()
        for host in hosts:
            connection = await self._connect_to(host, {"statement_cache_size": 0})
            try:
                await connection.execute("SELECT 1")
            finally:
                connection.terminate()
            return

    async def _connect_to_any(self, driver_options: dict[str, Any]) -> asyncpg.Connection:
        error: Exception | None = None
        attributes = ["standby", "any"] if self.session_attribute == "prefer-standby" else [self.session_attribute]
        for attribute in attributes:
            for host in await self._candidates():
                try:
                    connection = await self._connect_to(host, driver_options)
                except (OSError, TimeoutError, pg.CannotConnectNowError) as failure:
                    # As in libpq, a rejected login is final: the other hosts are not tried.
                    error = failure
                    continue
                if await self._is_suitable(connection, attribute):
                    self._last = host
                    return connection
                connection.terminate()
        raise error or pg.TargetServerAttributeNotMatched(
            f"no host is suitable for target_session_attrs={self.session_attribute}"
        )

    async def _candidates(self) -> list[Host]:
        """Return the hosts, and each address of their names if it matters which one is connected to."""
        hosts = list(self._url.hosts)
        is_random = self._options.get("load_balance_hosts") == "random"
        if self.session_attribute != "any" or is_random:
            hosts = [one for host in hosts for one in await _addresses(host)]
        if is_random:
            random.shuffle(hosts)
        if self._last in hosts and self.session_attribute in WRITABLE:
            hosts.remove(self._last)  # it is likely to be the primary still
            hosts.insert(0, self._last)
        return hosts

    async def _connect_to(self, host: Host, driver_options: dict[str, Any]) -> asyncpg.Connection:
        url = self._url
        arguments: dict[str, Any] = {
            "host": host.address or host.name,
            "port": host.port,
            "user": url.user,
            "password": url.password_of(host),
            "database": url.database,
            "timeout": self._timeout_s,
            "target_session_attrs": "any",
            "server_settings": self.server_settings,
        }
        if "krbsrvname" in self._options:
            arguments["krbsrvname"] = self._options["krbsrvname"]
        connection: asyncpg.Connection = await asyncpg.connect(**arguments | self._tls_arguments(host) | driver_options)
        if not host.is_socket:
            self._set_keepalives(connection)
        return connection

    def _tls_arguments(self, host: Host) -> dict[str, Any]:
        mode = self._options.get("sslmode", "prefer")
        if host.is_socket or mode == "disable":
            return {"ssl": False, "direct_tls": False}
        if mode in ("allow", "prefer"):
            # The driver itself falls back to a connection with, or without, TLS.
            files = {name: str(self._tls.file(name) or "") for name in ("sslcert", "sslkey")}
            names = ("sslpassword", "ssl_min_protocol_version", "ssl_max_protocol_version")
            query = files | {name: self._options.get(name, "") for name in names}
            dsn = f"postgresql://?{urlencode({name: value for name, value in query.items() if value})}"
            return {"ssl": mode, "dsn": dsn, "direct_tls": False}
        try:
            context = self._tls.get(host.name if host.address else "")
        except StartError as error:
            raise pg.ClientConfigurationError(str(error)) from error
        return {"ssl": context, "direct_tls": self._options.get("sslnegotiation") == "direct"}

    async def _is_suitable(self, connection: asyncpg.Connection, attribute: str) -> bool:
        if attribute == "any":
            return True
        try:
            in_recovery, is_read_only = await _server_state(connection)
        except (OSError, TimeoutError, pg.PostgresError, pg.InterfaceError, pg.InternalClientError):
            connection.terminate()
            raise
        match attribute:
            case "primary":
                return not in_recovery
            case "standby":
                return in_recovery
            case "read-write":
                return not is_read_only
            case _:
                return is_read_only

    def _set_keepalives(self, connection: Any) -> None:
        if self._options.get("keepalives", "1").strip() == "0":
            return
        transport_socket = connection._transport.get_extra_info("socket")
        transport_socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, option in KEEPALIVE_OPTIONS.items():
            value = int(self._options.get(name, 0))
            if value > 0 and hasattr(socket, option):
                transport_socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


async def _addresses(host: Host) -> list[Host]:
    """Return a host for each address of the name; the same one if there is only one, or none."""
    if host.is_socket or host.address:
        return [host]
    try:
        infos = await asyncio.get_running_loop().getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    except OSError:
        return [host]  # connecting reports it
    addresses = list(dict.fromkeys(str(info[4][0]) for info in infos))
    return [host] if len(addresses) < 2 else [host._replace(address=address) for address in addresses]


async def _server_state(connection: asyncpg.Connection) -> tuple[bool, bool]:
    """Return whether the server is a standby, and whether transactions are read-only there."""
    settings = connection.get_settings()
    in_recovery = getattr(settings, "in_hot_standby", None)
    is_read_only = getattr(settings, "default_transaction_read_only", None)
    if in_recovery is None or is_read_only is None:  # before PostgreSQL 14, or behind a pooler
        row = await connection.fetchrow(
            "SELECT pg_is_in_recovery(), CAST(current_setting('transaction_read_only') AS boolean)"
        )
        assert row is not None
        return row[0], row[1]
    return in_recovery == "on", in_recovery == "on" or is_read_only == "on"


def _close_unused(attempt: "asyncio.Future[asyncpg.Connection]") -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().terminate()
