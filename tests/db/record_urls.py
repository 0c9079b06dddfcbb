"""Record which of url_cases.py MLflow's driver connects with: python -m tests.db.record_urls

Needs MLflow's server (.cache/mlflow-3.18.0) and PostgreSQL with TLS.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.db.url_cases import CASES, HBA, ROLES
from tests.db.with_mlflow import mlflow_interpreter
from tests.servers.certificates import Authority
from tests.servers.postgres import tls_cluster

RECORD = Path(__file__).parent / "mlflow_urls.json"
CONNECT = """
import json, os, sys
from sqlalchemy import create_engine, text
SQL = "SELECT current_user, current_database(), (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())"
results = []
for url, environ in json.load(sys.stdin):
    os.environ.update(environ)
    try:
        engine = create_engine(url)
        with engine.connect() as connection:
            results.append(list(connection.execute(text(SQL)).fetchone()))
        engine.dispose()
    except Exception as error:
        results.append(None)
    for name in environ:
        del os.environ[name]
json.dump(results, sys.stdout)
"""


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Mapping[str, str]]:
    """Run the server of the cases. Yield the values for their URLs."""
    folders = [folder / name for name in ("ours", "other")]
    for one in folders:
        one.mkdir()
    ours, other = map(Authority.new, folders)
    with tls_cluster(ours, "localhost") as cluster:
        cluster.run_sql(
            *(f"CREATE ROLE {name} LOGIN PASSWORD '{password}'" for name, password in ROLES.items()),
            "CREATE ROLE secure LOGIN",
            "CREATE ROLE unsafe LOGIN",
        )
        cluster.let_in(*HBA)
        yield {
            "port": str(cluster.port),
            "folder": str(cluster.folder),
            "ours": str(ours.bundle),
            "other": str(other.bundle),
        }


def filled(values: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return (URL, variables) of each case."""

    def fill(text: str) -> str:
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    return [(fill(case.url), {name: fill(value) for name, value in case.environ.items()}) for case in CASES]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        with server(Path(folder)) as values:
            done = subprocess.run(
                [mlflow_interpreter(), "-c", CONNECT],
                input=json.dumps(filled(values)),
                env={"PATH": os.environ["PATH"], "HOME": folder},
                capture_output=True,
                text=True,
            )
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout)
    lines = [
        json.dumps([case.url, dict(case.environ), result], ensure_ascii=False)
        for case, result in zip(CASES, results, strict=True)
    ]
    RECORD.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{sum(result is not None for result in results)} of {len(results)} connect", file=sys.stderr)


if __name__ == "__main__":
    main()
