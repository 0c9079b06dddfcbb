"""The processes: gunicorn's master and its ASGI workers, the sockets they share, and how they end.

Nothing of the application is in here but its import; cli/server.py starts it. The worker uses a few private names
of gunicorn 27 (pinned below 28; tests/http_server/test_processes.py holds each of them to what is expected here).
"""

import contextlib
import ctypes
import os
import resource
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gunicorn import glogging
from gunicorn.app.base import BaseApplication
from gunicorn.workers import gasgi

from railtrack.config.settings import Settings
from railtrack.errors import StartError
from railtrack.http_server.connection import CONNECTIONS_LIMIT, Connection
from railtrack.http_server.response_head import date_line
from railtrack.logs.format import current_formatter
from railtrack.prometheus.shared_memory import SLOTS

GRACE_S = 30
UNDO_S = 5
"""The last of the grace period, after which the master kills: what is under way is broken off and takes itself back."""
LAST_REQUEST_S = 1
"""How long idle connections stay open once no new ones are accepted. A client may be sending a request on one just now:
closing it would cut the request off, and MLflow's client 3.18 does not repeat a creation then."""
STUCK_LIMIT_S = 60
TRIM_EVERY_S = 10
"""How often what is free goes back to the system; that takes a millisecond or so."""
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Worker(gasgi.ASGIWorker):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's ASGI worker with connections of our own; at its end it closes those that are idle."""

    def init_process(self) -> None:
        self.state["slot"] = self.slot  # the application finds it in its lifespan's state
        self.connections: set[Connection] = set()
        self.date = date_line()
        gasgi.ASGIProtocol = Connection  # the worker makes its connections of this name
        super().init_process()

    async def _serve(self) -> None:
        release_signals()  # not before the loop runs: uvloop takes no notice of a signal until then
        self._trim()
        self._tick()
        await super()._serve()

    def _tick(self) -> None:
        """What connections have done for them once a second, not by each."""
        self.date = date_line()
        now = time.monotonic()
        for connection in list(self.connections):
            connection.check(now)
        self.loop.call_later(1, self._tick)

    def count_request(self) -> None:
        """Once gunicorn's `max_requests` are served, another worker takes over."""
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False

    def _trim(self) -> None:
        trim_memory()
        self.loop.call_later(TRIM_EVERY_S, self._trim)

    async def _shutdown(self) -> None:
        await self._stop_listening()
        self.loop.call_later(LAST_REQUEST_S, self._close_idle)
        self.loop.call_later(self.cfg.graceful_timeout - UNDO_S, self._hang_up)
        await super()._shutdown()

    async def _stop_listening(self) -> None:
        """Close the sockets. Accept the connections that wait there first: the kernel would reset them."""
        waiting = [connection for listener in self.sockets for connection in accepted(listener.sock)]
        for server in self.servers:
            server.close()
        for connection in waiting:
            await self.loop.connect_accepted_socket(lambda: Connection(self), connection)

    def _close_idle(self) -> None:
        for connection in list(self.connections):
            connection.close_if_idle()

    def _hang_up(self) -> None:
        for connection in list(self.connections):
            connection.abort()


def accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Accept what waits on a non-blocking socket."""
    with contextlib.suppress(OSError):
        while True:
            yield listener.accept()[0]


LISTENING = "Listening at: %s (%s)"


class Log(glogging.Logger):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's log, in the form of ours."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(current_formatter())

    def info(self, msg: str, *args: Any, **kwargs: Any) -> None:
        """A line for each address that is listened at, so that the one that was asked for stands by itself."""
        if msg == LISTENING:
            for address in args[0].split(","):
                super().info(msg, address, *args[1:], **kwargs)
        else:
            super().info(msg, *args, **kwargs)


def before_fork(master: Any, worker: Any) -> None:
    worker.slot = free_slot(master.WORKERS)
    hold_signals()


def free_slot(workers: Mapping[int, Any]) -> int:
    """Where a new worker counts what it does: the lowest number that none of the living has.

    There are more than signals to the master are likely to ask for; beyond that, the last one is shared.
    """
    return min(set(range(SLOTS)) - {worker.slot for worker in workers.values()}, default=SLOTS - 1)


def hold_signals() -> None:
    """Keep the signals to end pending while a worker is born: it would take them for its master's and lose them,
    and the master would wait for it for the whole grace period."""
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)


def release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no type hints
    """The master: loads the application once, before it forks the workers."""

    def __init__(self, settings: Settings, listeners: Sequence[socket.socket], load: Callable[[], Any]) -> None:
        self._settings = settings
        self._listeners = listeners
        self._load = load
        self._heartbeats = heartbeat_folder()
        super().__init__()

    def load_config(self) -> None:
        options = {
            "bind": [f"fd://{listener.detach()}" for listener in self._listeners],
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
            "worker_tmp_dir": self._heartbeats,
            "logger_class": Log,
            "loglevel": self._settings.logs.level,
        }
        for name, value in options.items():
            self.cfg.set(name, value)
        os.register_at_fork(after_in_parent=release_signals)

    def load(self) -> Any:
        return self._load()


SHARED_MEMORY = "/dev/shm"  # noqa: S108 (a folder, in which gunicorn makes files of its own)


def heartbeat_folder() -> str:
    """Where the workers touch a file to show that they live: in memory, for on a busy disk that would block."""
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
    """Tell glibc to return what is freed. Elsewhere (musl, macOS) there is no such call, and nothing is done.

    Pieces of artifacts (256 kB) stay below the threshold for mappings of their own: those are faulted in page by page
    each time. Workers inherit it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, 1024 * 1024)
        mallopt(M_TRIM_THRESHOLD, 2 * 1024 * 1024)


def trim_memory() -> None:
    """Return what is free between pieces in use: after a burst of 200 stalled downloads, 77 MB stay without it."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


DESCRIPTORS = CONNECTIONS_LIMIT + 256
"""What a worker may need: its clients' connections, and its own to the database and the store, and files."""


def allow_descriptors() -> None:
    """Raise the soft limit, often 1,024, towards what a worker may need. It inherits the master's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listeners(settings: Settings) -> list[socket.socket]:
    """The bound sockets. Raises StartError that names the port and the setting that asked for it."""
    return [listen(host, port, asked) for host, port, asked in addresses(settings)]


def addresses(settings: Settings) -> list[tuple[str, int, str]]:
    """(host, port, the setting that asked for it) of every socket to listen on."""
    ports = {settings.server.port: "MLFLOW_PORT"}
    if settings.server.platform_port is not None:
        ports.setdefault(settings.server.platform_port, "PORT")
    hosts = [settings.server.host]
    if settings.server.host == "0.0.0.0" and socket.has_ipv6:  # noqa: S104 (asked for)
        hosts.append("::")
    return [(host, port, asked) for port, asked in ports.items() for host in hosts if host != "::" or _ipv6_works()]


def _ipv6_works() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def listen(host: str, port: int, asked: str) -> socket.socket:
    """One bound socket. Raises StartError that names the port and the setting that asked for it."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Its twin on IPv4 is a socket of its own, so that the log shows the address that was asked for.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(2048)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StartError(
            f"{asked}: cannot listen on {host} port {port} ({reason}).",
            f"Stop what uses the port, or set {asked} to another one.",
        ) from None
    return bound
