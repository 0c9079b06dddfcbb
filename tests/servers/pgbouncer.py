"""A real PgBouncer in transaction mode for tests, in front of a PostgreSQL of tests."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.processes import TIMEOUT_S, die_with_parent, find_program, free_port

SETTINGS = """
[databases]
* = host={host} port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 100
logfile = {folder}/log
"""


@contextlib.contextmanager
def pgbouncer(database: str, *, pool_size: int) -> Iterator[str]:
    """The URL of `database` through a PgBouncer that has `pool_size` connections to it."""
    program = find_program("pgbouncer")
    parts = urlsplit(database)
    port = free_port()
    user = "nobody" if os.geteuid() == 0 else None  # PgBouncer refuses to run as root
    with tempfile.TemporaryDirectory(prefix="railtrack-pgbouncer-") as folder:
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            SETTINGS.format(host=parts.hostname, port=parts.port, listen_port=port, pool_size=pool_size, folder=folder)
        )
        if user:
            shutil.chown(folder, user)
        process = subprocess.Popen([program, "--quiet", str(settings)], user=user, cwd="/", preexec_fn=die_with_parent)
        try:
            _wait_until_it_listens(process, port, Path(folder) / "log")
            yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise RuntimeError(f"pgbouncer did not start:\n{log.read_text() if log.exists() else ''}")
