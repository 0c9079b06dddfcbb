"""The settings of addresses, processes and proxies."""

from dataclasses import dataclass

from railtrack.config import parsers
from railtrack.config.lookup import setting
from railtrack.config.server_options import ServerOption, parse_server_options


@dataclass(frozen=True, slots=True)
class ServerSettings:
    host: str = setting(
        "MLFLOW_HOST",
        flags=("--host", "-h"),
        parse=parsers.host,
        default="127.0.0.1",
        help="The address to listen on. `0.0.0.0` also listens on `[::]` if the machine has IPv6.",
    )
    port: int = setting(
        "MLFLOW_PORT", flags=("--port", "-p"), parse=parsers.port, default="5000", help="The port to listen on."
    )
    platform_port: int | None = setting(
        "PORT",
        parse=parsers.optional_port,
        default="",
        help="The port that a hosting platform assigns. The server listens on it in addition to `MLFLOW_PORT`, "
        "but not in addition to `--port`.",
    )
    railway_service: str = setting(
        "RAILWAY_SERVICE_ID",
        parse=parsers.text,
        default="",
        help="Set by Railway. Where it or `PORT` is set, `MLFLOW_SERVER_ALLOWED_HOSTS` allows any host by default.",
    )
    railway_domain: str = setting(
        "RAILWAY_PUBLIC_DOMAIN",
        parse=parsers.text,
        default="",
        help="Set by Railway for a service with a domain. The start logs it as the address of the login page.",
    )
    workers: int = setting(
        "GUNICORN_WORKERS",
        "MLFLOW_WORKERS",
        flags=("--workers", "-w"),
        parse=parsers.workers,
        default="2",
        help="Worker processes.",
    )
    threads: int = setting(
        "GUNICORN_THREADS",
        flags=("--threads",),
        parse=parsers.threads,
        default="4",
        help="Database connections of each worker: how many of its requests can use the database at the same time.",
    )
    request_memory_mb: int | None = setting(
        "RAILTRACK_REQUEST_MEMORY_MB",
        flags=("--request-memory",),
        parse=parsers.optional_megabytes,
        default="",
        help="Memory in MB that clients can make one worker hold: bodies, responses, uploads. What exceeds it waits or "
        "gets 429. Default: from the memory limit (docs/sizing.md).",
    )
    trusted_proxies: tuple[str, ...] = setting(
        "RAILTRACK_TRUSTED_PROXIES",
        "FORWARDED_ALLOW_IPS",
        flags=("--trusted-proxies", "--forwarded-allow-ips"),
        parse=parsers.proxies,
        default="127.0.0.1,::1",
        help="Addresses and networks of proxies whose `X-Forwarded-` headers are trusted, separated by commas; "
        "`*` for every peer, `none` for no one. On Railway, the default includes its edge, `100.64.0.0/10`.",
    )
    static_prefix: str = setting(
        "MLFLOW_STATIC_PREFIX",
        flags=("--static-prefix",),
        parse=parsers.prefix,
        default="",
        help="Prefix of all paths, such as `/mlflow`, behind a proxy that forwards paths unchanged.",
    )

    uvicorn_opts: tuple[ServerOption, ...] = setting(
        "MLFLOW_UVICORN_OPTS",
        flags=("--uvicorn-opts",),
        parse=parse_server_options,
        default="",
        help="Options of uvicorn, the server of MLflow, as one text: `--ssl-keyfile key.pem --ssl-certfile cert.pem`. "
        "Options for TLS, workers, logs and proxies set the setting of that meaning, unless it is set itself; the "
        "start reports each of the others ([options](mlflow-options.md)).",
        secret=True,
    )
    gunicorn_opts: tuple[ServerOption, ...] = setting(
        "MLFLOW_GUNICORN_OPTS",
        "GUNICORN_CMD_ARGS",
        flags=("--gunicorn-opts",),
        parse=parse_server_options,
        default="",
        help="The same with options of gunicorn: `--workers 4 --keyfile key.pem --certfile cert.pem`.",
        secret=True,
    )
    waitress_opts: tuple[ServerOption, ...] = setting(
        flags=("--waitress-opts",),
        parse=parse_server_options,
        default="",
        help="The same with options of waitress: `--threads=8`.",
        secret=True,
    )

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach the server."""
        return parsers.is_loopback(self.host)
