"""Processes: gunicorn's master, its workers, their sockets and their end. Connections are in governed_protocol.py.

The worker uses a few private names of gunicorn 27. It is pinned below 28; a test checks them.
"""

import asyncio
import contextlib
import ctypes
import errno
import os
import resource
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import formatdate
from typing import Any, NamedTuple, cast

from gunicorn import glogging
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.asgi.lifespan import LifespanManager
from gunicorn.workers import gasgi
from uvicorn.config import Config

from railtrack.byte_budget import BUDGET
from railtrack.config.parsers import is_loopback
from railtrack.config.settings import Settings
from railtrack.errors import StartError, describe_os_error
from railtrack.http_server.admission import WorkerState
from railtrack.http_server.governed_protocol import GovernedProtocol
from railtrack.http_server.limits import CONNECTIONS_LIMIT, PROBES_RESERVE, REJECTED_RESERVE
from railtrack.http_server.tls import ServerTls
from railtrack.http_server.tls_connection import TlsConnection
from railtrack.logs.format import current_formatter
from railtrack.prometheus.shared_memory import SLOTS

BACKLOG = 2048
GRACE_S = 30
UNDO_S = 5
"""End of the grace period, in which open requests are aborted and roll back. After it, the master kills the workers."""
LAST_REQUEST_S = 1
"""Idle connections stay open for so long after the worker stops listening. A client may just be sending a request:
closing would cut it off, and MLflow's client 3.18 does not repeat a creation then."""
STUCK_LIMIT_S = 60
RELIEVE_EVERY_S = 0.25
TRIM_EVERY_S = 10
"""Interval of returning free memory to the system, which takes about a millisecond."""
RENEW_EVERY_S = 10
"""Interval of looking for a renewed certificate."""
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Worker(gasgi.ASGIWorker):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's ASGI worker (loop, signals, lifespan) with uvicorn's connections."""

    def init_process(self) -> None:
        self.state["slot"] = self.slot  # the application finds it in its lifespan's state
        self.server_state = WorkerState()
        super().init_process()

    @property
    def nr_conns(self) -> int:
        """Number of open connections; gunicorn waits for them when the worker ends."""
        return len(self.server_state.connections)

    @nr_conns.setter
    def nr_conns(self, count: int) -> None:
        """Ignore gunicorn's initial value."""

    async def _serve(self) -> None:
        unblock_signals()  # not before the loop runs: uvloop ignores signals until then
        self.lifespan = LifespanManager(self.asgi, self.log, self.state)
        try:
            await self.lifespan.startup()
        except Exception as error:
            self.log.error("The application did not start: %s", error)
            raise SystemExit(Arbiter.WORKER_BOOT_ERROR) from None
        self.server_state.client_of = getattr(self.asgi, "client_of", self.server_state.client_of)
        self.config = protocol_config(self.asgi)
        self._renew_certificate()
        for listener in self.sockets:
            server = await self.loop.create_server(self._new_connection, sock=listener.sock, backlog=BACKLOG)
            self.servers.append(server)
        self._trim()
        self._tick()
        self._relieve()
        while self.alive and self.ppid == os.getppid():
            self.notify()
            await asyncio.sleep(1)
        await self._shutdown()

    def handle_exit_signal(self) -> None:
        super().handle_exit_signal()
        self.server_state.is_ending = True

    def _tick(self) -> None:
        """Do once a second what would cost more for each request."""
        self.server_state.default_headers[:] = [(b"date", formatdate(usegmt=True).encode())]
        self._check_connections()
        self.loop.call_later(1, self._tick)

    def _relieve(self) -> None:
        """While requests wait for memory, look more often for slow clients that occupy it."""
        if BUDGET.is_contended:
            self._check_connections()
        self.loop.call_later(RELIEVE_EVERY_S, self._relieve)

    def _check_connections(self) -> None:
        now = self.loop.time()
        for connection in self._connections():
            connection.check(now)

    def _renew_certificate(self) -> None:
        if self._server_tls is not None:
            self._server_tls.reload_if_changed()
            self.loop.call_later(RENEW_EVERY_S, self._renew_certificate)

    @property
    def _server_tls(self) -> ServerTls | None:
        return cast(Server, self.app).tls

    def _new_connection(self) -> GovernedProtocol | TlsConnection:
        connection = GovernedProtocol(self.config, self.server_state)
        return connection if self._server_tls is None else TlsConnection(self._server_tls.context, connection)

    def _connections(self) -> list[GovernedProtocol]:
        return cast(list[GovernedProtocol], list(self.server_state.connections))

    def _trim(self) -> None:
        trim_memory()
        self.loop.call_later(TRIM_EVERY_S, self._trim)

    async def _shutdown(self) -> None:
        self.server_state.is_ending = True
        await self._stop_listening()
        self.loop.call_later(LAST_REQUEST_S, self._close_idle)
        self.loop.call_later(self.cfg.graceful_timeout - UNDO_S, self._abort_connections)
        await super()._shutdown()

    async def _stop_listening(self) -> None:
        """Close the sockets. Accept the connections that wait there first: the kernel would reset them."""
        waiting = [connection for listener in self.sockets for connection in accepted(listener.sock)]
        for server in self.servers:
            server.close()
        for connection in waiting:
            await self.loop.connect_accepted_socket(self._new_connection, connection)

    def _close_idle(self) -> None:
        for connection in self._connections():
            connection.shutdown()

    def _abort_connections(self) -> None:
        for connection in self._connections():
            connection.abort()


def protocol_config(app: Any) -> Config:
    """Return uvicorn's settings for connections: no WebSockets, no logs, no trust in proxies' headers."""
    config = Config(
        lambda: app, factory=True, interface="asgi3", ws="none", log_config=None, proxy_headers=False, lifespan="off"
    )
    config.load()
    return config


def accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Accept the connections that wait on a non-blocking socket."""
    with contextlib.suppress(OSError):
        while True:
            yield listener.accept()[0]


LISTENING = "Listening at: %s (%s)"


class Log(glogging.Logger):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's log in Railtrack's format."""

    scheme = "http"

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(current_formatter())

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """Log one line for each address, so that each can be found by its text."""
        if msg == LISTENING:
            for address in args[0].split(","):
                super().info(msg, address.replace("http:", f"{self.scheme}:"), *args[1:], **kwargs)
        else:
            super().info(msg, *args, **kwargs)


class TlsLog(Log):
    scheme = "https"


def before_fork(master: Any, worker: Any) -> None:
    worker.slot = free_slot(master.WORKERS)
    block_signals()


def free_slot(workers: Mapping[int, Any]) -> int:
    """Return the lowest slot of the shared counters that no living worker has.

    Signals to the master can ask for more workers than there are slots; those share the last one.
    """
    return min(set(range(SLOTS)) - {worker.slot for worker in workers.values()}, default=SLOTS - 1)


def block_signals() -> None:
    """Block termination signals across fork until the worker has installed its handlers.

    A worker would handle them like its master, lose them, and make the master wait for the whole grace period.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's master. It loads the application once, before it forks the workers."""

    def __init__(self, settings: Settings, listeners: Sequence[socket.socket], load: Callable[[], Any]) -> None:
        self._settings = settings
        self._addresses = [f"fd://{listener.detach()}" for listener in listeners]
        self._load = load
        self._heartbeats = heartbeat_folder()
        self.tls = ServerTls(settings.tls) if settings.tls.is_enabled else None
        super().__init__()
        os.register_at_fork(after_in_parent=unblock_signals)

    def load_config(self) -> None:
        """Set gunicorn's options. SIGHUP calls it again."""
        options = {
            "bind": self._addresses,
            "workers": self._settings.server.workers,
            "worker_class": Worker,
            "preload_app": True,
            "timeout": STUCK_LIMIT_S,
            "graceful_timeout": GRACE_S,
            "asgi_loop": "uvloop",
            "asgi_lifespan": "on",
            "control_socket_disable": True,
            "proc_name": "railtrack",
            "pre_fork": before_fork,
            "on_reload": self._renew_certificate,
            "worker_tmp_dir": self._heartbeats,
            "logger_class": Log if self.tls is None else TlsLog,
            "loglevel": self._settings.logs.level,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._load()

    def _renew_certificate(self, master: Any) -> None:
        """Load a renewed certificate before SIGHUP replaces the workers, which inherit it."""
        if self.tls is not None:
            self.tls.reload_if_changed()


SHARED_MEMORY = "/dev/shm"  # noqa: S108 (gunicorn creates its files there safely)


def heartbeat_folder() -> str:
    """Return the folder for the workers' heartbeat files: in memory, since a busy disk would block them."""
    if os.access(SHARED_MEMORY, os.W_OK | os.X_OK):
        return SHARED_MEMORY
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        raise StartError(
            "There is no folder for temporary files that this user may write to.", "Mount one at /tmp or /dev/shm."
        ) from None


M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8


def give_memory_back() -> None:
    """Configure glibc to return freed memory to the system. Do nothing without glibc (musl, macOS).

    The threshold for separate mappings stays above the 256 kB of an artifact's chunk: a mapping is page-faulted on each
    use. Workers inherit the configuration.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, 1024 * 1024)
        mallopt(M_TRIM_THRESHOLD, 2 * 1024 * 1024)


def trim_memory() -> None:
    """Return free memory between blocks in use. Without it, 77 MB remain after a burst of 200 stalled downloads."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


DESCRIPTORS = CONNECTIONS_LIMIT + PROBES_RESERVE + REJECTED_RESERVE + 256
"""For a worker's client connections, database and store connections, and files."""


def allow_descriptors() -> None:
    """Raise the soft limit, often 1,024, towards DESCRIPTORS. Workers inherit the master's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listeners(settings: Settings) -> list[socket.socket]:
    """Return sockets that are bound, but do not listen yet: until the server is ready, the kernel rejects connections.

    Raise StartError with the setting to change if an address can't be bound.
    """
    sockets = [bind(settings, address) for address in addresses(settings)]
    if settings.auth.mode == "auto" and not settings.needs_login:
        _check_loopback(settings, sockets)
    return sockets


def _check_loopback(settings: Settings, sockets: list[socket.socket]) -> None:
    """Raise StartError if `localhost` is an address that other machines can reach: the server has no login."""
    for one in sockets:
        if not is_loopback(address := one.getsockname()[0]):
            name = settings.sources.get("server.host", "MLFLOW_HOST")
            raise StartError(
                f"{name}: {settings.server.host} is {address} here, which is no loopback address.",
                f"Set {name} to 127.0.0.1, or require a login with RAILTRACK_AUTH=on.",
            )


class Address(NamedTuple):
    host: str
    port: int
    port_setting: str
    """The flag or variable that set the port."""


def addresses(settings: Settings) -> list[Address]:
    """Return the address of every socket to listen on."""
    ports = {settings.server.port: settings.sources.get("server.port", "MLFLOW_PORT")}
    if settings.server.platform_port is not None:
        ports.setdefault(settings.server.platform_port, "PORT")
    hosts = [settings.server.host]
    if settings.server.host == "0.0.0.0" and socket.has_ipv6:  # noqa: S104 (the user's choice)
        hosts.append("::")
    return [
        Address(host, port, setting)
        for port, setting in ports.items()
        for host in hosts
        if host != "::" or _ipv6_works()
    ]


def _ipv6_works() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def bind(settings: Settings, address: Address) -> socket.socket:
    """Return a bound socket. Raise StartError with the setting to change if the address can't be bound."""
    host, port, setting = address
    try:
        family, _, _, _, resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # IPv4 has a separate socket, so that the log shows its address.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(resolved)
    except OSError as error:
        reason = describe_os_error(error)
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            setting = settings.sources.get("server.host", "MLFLOW_HOST")
            advice = f"Set {setting} to an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them."
            raise StartError(f"{setting}: cannot listen on {host} ({reason}).", advice) from None
        raise _port_error(address, reason) from None
    return bound


def listen(settings: Settings, sockets: list[socket.socket]) -> None:
    """Listen on the bound sockets. Raise StartError if another process has started to listen there meanwhile."""
    for address, bound in zip(addresses(settings), sockets, strict=True):
        try:
            bound.listen(BACKLOG)
        except OSError as error:
            raise _port_error(address, describe_os_error(error)) from None


def _port_error(address: Address, reason: str) -> StartError:
    return StartError(
        f"{address.port_setting}: cannot listen on {address.host} port {address.port} ({reason}).",
        f"Stop what uses the port, or set {address.port_setting} to another one.",
    )
