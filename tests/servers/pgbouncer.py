"""A real PgBouncer in front of a PostgreSQL under test."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.processes import TIMEOUT_S, die_with_parent, find_program, free_port, wait_until_listening

SETTINGS = """
[databases]
* = host={host} port={port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {pool_size}
max_client_conn = 100
logfile = {folder}/log
"""


@contextlib.contextmanager
def pgbouncer(database: str, *, pool_size: int, mode: str = "transaction") -> Iterator[str]:
    """Yield the URL of `database` through a PgBouncer that has `pool_size` connections to it. `mode`: pool_mode."""
    program = find_program("pgbouncer")
    parts = urlsplit(database)
    port = free_port()
    user = "nobody" if os.geteuid() == 0 else None  # PgBouncer does not run as root
    with tempfile.TemporaryDirectory(prefix="railtrack-pgbouncer-") as folder:
        settings = Path(folder) / "pgbouncer.ini"
        settings.write_text(
            SETTINGS.format(
                host=parts.hostname, port=parts.port, listen_port=port, pool_size=pool_size, folder=folder, mode=mode
            )
        )
        if user:
            shutil.chown(folder, user)
        process = subprocess.Popen([program, "--quiet", str(settings)], user=user, cwd="/", preexec_fn=die_with_parent)
        try:
            wait_until_listening(process, port, Path(folder) / "log")
            yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}"
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)
