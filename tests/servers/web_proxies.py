"""nginx and Caddy in front of a server under test: as deploy/ configures them, with TLS on a loopback port, and without
TLS, with the few lines that people write.

web_proxy() fills in names, ports and the certificate; `strips_prefix` makes the one change that the files describe.
"""

import contextlib
import os
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers.processes import TIMEOUT_S, die_with_parent, find_program, free_port, wait_until_listening

DEPLOY = Path(__file__).parents[2] / "deploy"
PREFIX = "/mlflow"

NGINX_MAIN = """
pid {folder}/nginx.pid;
{user}
worker_processes 1;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/buffers;
    proxy_temp_path {folder}/buffers;
    fastcgi_temp_path {folder}/unused;
    uwsgi_temp_path {folder}/unused;
    scgi_temp_path {folder}/unused;
    include {folder}/railtrack.conf;
}}
"""


@dataclass(frozen=True)
class WebProxy:
    """A running proxy. `url` includes the prefix; `buffers` is the folder where the proxy would buffer bodies."""

    port: int
    certificate: Path
    buffers: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}{PREFIX}"

    @property
    def tls(self) -> ssl.SSLContext:
        """Trust only the certificate of this proxy."""
        return ssl.create_default_context(cafile=str(self.certificate))


PLAIN_ADDRESS = "127.0.0.2"
"""A loopback address whose origin the server does not accept by itself, unlike 127.0.0.1's."""
PLAIN_NGINX = "server {{ listen {address}:{port}; location / {{ proxy_pass http://127.0.0.1:{upstream}; {lines} }} }}"
PLAIN_CADDY = (
    "{{\n\tadmin off\n}}\n\nhttp://{address}:{port} {{\n\treverse_proxy 127.0.0.1:{upstream} {{\n{lines}\n\t}}\n}}\n"
)


@contextlib.contextmanager
def plain_proxy(name: str, upstream: int, lines: str = "") -> Iterator[str]:
    """Run `nginx` or `caddy` without TLS, with `lines` in the block that forwards. Return its URL."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix=f"railtrack-{name}-") as made:
        folder = Path(made)
        (folder / "buffers").mkdir()
        template, file = (PLAIN_NGINX, "railtrack.conf") if name == "nginx" else (PLAIN_CADDY, "Caddyfile")
        (folder / file).write_text(template.format(address=PLAIN_ADDRESS, port=port, upstream=upstream, lines=lines))
        with _running(name, folder, port, PLAIN_ADDRESS):
            yield f"http://{PLAIN_ADDRESS}:{port}"


@contextlib.contextmanager
def web_proxy(name: str, upstream: int, *, strips_prefix: bool = False) -> Iterator[WebProxy]:
    """Run `nginx` or `caddy` in front of 127.0.0.1:`upstream`. `strips_prefix`: forward paths without the prefix."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix=f"railtrack-{name}-") as made:
        folder = Path(made)
        (folder / "buffers").mkdir()
        certificate, key = _certificate(folder)
        write = _nginx if name == "nginx" else _caddy
        write(folder, port, upstream, certificate, key, strips_prefix)
        with _running(name, folder, port):
            yield WebProxy(port, certificate, folder / "buffers")


@contextlib.contextmanager
def _running(name: str, folder: Path, port: int, address: str = "127.0.0.1") -> Iterator[None]:
    """Run the program with the configuration in the folder."""
    if name == "nginx":
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(NGINX_MAIN.format(folder=folder, user=user))
        arguments = ["-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr", "-g", "daemon off;"]
    else:
        arguments = ["run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
    # Caddy keeps its state in its home.
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [find_program(name), *arguments], stdout=log, stderr=log, env=environment, preexec_fn=die_with_parent
        )
    try:
        wait_until_listening(process, port, folder / "log", host=address)
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def _nginx(folder: Path, port: int, upstream: int, certificate: Path, key: Path, strips_prefix: bool) -> None:
    changes = {
        "server 127.0.0.1:5000;": f"server 127.0.0.1:{upstream};",
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/certs/mlflow.example.com.pem": str(certificate),
        "/etc/ssl/private/mlflow.example.com.key": str(key),
    }
    if strips_prefix:
        changes["        proxy_pass http://railtrack;"] = "        proxy_pass http://railtrack/;"
    _write_changed(DEPLOY / "nginx" / "railtrack.conf", folder / "railtrack.conf", changes)


def _caddy(folder: Path, port: int, upstream: int, certificate: Path, key: Path, strips_prefix: bool) -> None:
    changes = {
        "mlflow.example.com {": (
            f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n\n"
            f"https://127.0.0.1:{port} {{\n\tbind 127.0.0.1\n\ttls {certificate} {key}"
        ),
        "reverse_proxy 127.0.0.1:5000 {": f"reverse_proxy 127.0.0.1:{upstream} {{",
    }
    if strips_prefix:
        changes["\thandle /mlflow/* {"] = "\thandle_path /mlflow/* {"
    _write_changed(DEPLOY / "caddy" / "Caddyfile", folder / "Caddyfile", changes)


def _write_changed(source: Path, target: Path, changes: dict[str, str]) -> None:
    text = source.read_text()
    for before, after in changes.items():
        assert text.count(before) == 1, f"{source} has not exactly one {before!r}"
        text = text.replace(before, after)
    target.write_text(text)


def _certificate(folder: Path) -> tuple[Path, Path]:
    """Create a self-signed certificate for 127.0.0.1 and return the paths of certificate and key."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-days", "2", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True)
    return certificate, key
