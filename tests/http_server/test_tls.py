"""The certificate of a server with TLS: what is wrong with it in one line, its age, and its renewal while it serves."""

import shutil
import ssl
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from tests.servers.certificates import Authority
from tests.servers.processes import wait_until
from tests.servers.railtrack import RailtrackServer, command

from railtrack.config.settings import load
from railtrack.config.tls_settings import TlsSettings
from railtrack.errors import StartError
from railtrack.http_server.tls import certificate_warnings, check_tls_settings, server_context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("authority"))


def settings(**flags: object) -> TlsSettings:
    return load({}, {f"RAILTRACK_TLS_{name.upper()}": str(value) for name, value in flags.items()}).tls


def split(file: Path) -> tuple[Path, Path]:
    """Return the certificate and the key of a file as separate files."""
    key, end, certificate = file.read_text().partition("KEY-----\n-----BEGIN CERT")
    files = file.with_suffix(".crt"), file.with_suffix(".key")
    files[0].write_text(f"-----BEGIN CERT{certificate}")
    files[1].write_text(f"{key}KEY-----\n")
    assert end
    return files


def test_a_certificate_works_in_one_file_with_its_key_or_in_two_or_with_a_password(authority: Authority) -> None:
    cert_file, key_file = split(authority.certify("a"))
    for valid in (
        settings(cert_file=authority.certify("a")),
        settings(cert_file=cert_file, key_file=key_file),
        settings(cert_file=authority.certify("a", password="secret"), key_password="secret"),
    ):
        context = server_context(valid)
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_each_fault_is_one_line_that_names_the_option_and_the_next_step(authority: Authority, tmp_path: Path) -> None:
    cert_file, key_file = split(authority.certify("a"))
    _, other_key = split(authority.certify("b"))
    encrypted = authority.certify("a", password="secret")
    der = tmp_path / "cert.der"
    der.write_bytes(authority.certificate.public_bytes(serialization.Encoding.DER))
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    faults = {
        "RAILTRACK_TLS_CERT_FILE (--ssl-certfile): cannot read the file '/no/file' (No such file": settings(
            cert_file="/no/file"
        ),
        "RAILTRACK_TLS_KEY_FILE (--ssl-keyfile): cannot read the file '/no/key' (No such file": settings(
            cert_file=cert_file, key_file="/no/key"
        ),
        "cert.der' has no certificate in PEM form. Convert it to PEM.": settings(cert_file=der),
        "RAILTRACK_TLS_CERT_FILE (--ssl-certfile): '": settings(cert_file=cert_file),
        "RAILTRACK_TLS_KEY_FILE (--ssl-keyfile): the key does not belong to the certificate in": settings(
            cert_file=cert_file, key_file=other_key
        ),
        "RAILTRACK_TLS_KEY_FILE (--ssl-keyfile): the key is encrypted. Set RAILTRACK_TLS_KEY_PASSWORD": settings(
            cert_file=encrypted
        ),
        "the password does not open the key. Correct it.": settings(cert_file=encrypted, key_password="wrong"),
        "OpenSSL cannot use the certificate and its key": settings(cert_file=broken, key_file=key_file),
        "RAILTRACK_TLS_KEY_FILE (--ssl-keyfile) is set, but no certificate.": settings(key_file=key_file),
        "RAILTRACK_TLS_CLIENT_CERTIFICATES (--ssl-cert-reqs) is required, but the server has no": settings(
            client_certificates="required"
        ),
        "it is unknown which CAs issue them. Set RAILTRACK_TLS_CLIENT_CA_FILE (--ssl-ca-certs).": settings(
            cert_file=cert_file, key_file=key_file, client_certificates="required"
        ),
        "RAILTRACK_TLS_CLIENT_CA_FILE (--ssl-ca-certs): '": settings(
            cert_file=cert_file, key_file=key_file, client_certificates="required", client_ca_file=key_file
        ),
        "Invalid ciphers in RAILTRACK_TLS_CIPHERS (--ssl-ciphers): 'nothing'.": settings(
            cert_file=authority.certify("a"), ciphers="nothing"
        ),
    }
    for message, wrong in faults.items():
        with pytest.raises(StartError) as caught:
            check_tls_settings(wrong)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
    check_tls_settings(settings())


def test_an_old_certificate_is_reported(authority: Authority) -> None:
    now = datetime.now(UTC)
    valid = settings(cert_file=authority.certify("a", valid_until=now + timedelta(days=90)))
    assert certificate_warnings(valid) == []
    assert "expires on" in certificate_warnings(valid, now + timedelta(days=80))[0]
    assert "expired on" in certificate_warnings(valid, now + timedelta(days=91))[0]
    assert "is not valid before" in certificate_warnings(valid, now - timedelta(days=1))[0]
    assert certificate_warnings(settings()) == []


def test_the_start_and_doctor_report_an_expired_certificate_and_a_wrong_key(
    authority: Authority, tmp_path: Path
) -> None:
    expired = authority.certify("a", valid_until=datetime.now(UTC) - timedelta(days=1))
    line = "RAILTRACK_TLS_CERT_FILE (--ssl-certfile): the certificate expired on "
    options = ("--uvicorn-opts", f"--ssl-certfile {expired}")
    started = command(tmp_path, "server", *options, MLFLOW_BACKEND_STORE_URI="mysql://host/db")
    assert started.stderr.count(line) == 1, started.stderr
    assert command(tmp_path, "doctor", *options).stdout.count(line) == 1
    wrong = ("--gunicorn-opts", f"--certfile {expired} --keyfile {split(authority.certify('b'))[1]}")
    fault = "the key does not belong to the certificate"
    started, checked = command(tmp_path, "server", *wrong), command(tmp_path, "doctor", *wrong)
    assert (started.returncode, checked.returncode) == (1, 1)
    assert started.stderr.count(fault) == 1, started.stderr
    assert checked.stdout.count(fault) == 1


def health(server: RailtrackServer, context: ssl.SSLContext) -> bytes:
    with urllib.request.urlopen(f"https://127.0.0.1:{server.port}/health", timeout=60, context=context) as response:
        body: bytes = response.read()
    return body


@pytest.mark.slow
def test_a_renewed_certificate_is_served_without_a_restart(authority: Authority, tmp_path: Path) -> None:
    first, second = Authority.new(_folder(tmp_path, "first")), Authority.new(_folder(tmp_path, "second"))
    file = tmp_path / "server.pem"
    shutil.copy(first.certify("127.0.0.1"), file)
    server = RailtrackServer(
        tmp_path,
        None,
        {"MLFLOW_UVICORN_OPTS": f"--ssl-certfile {file} --ssl-keyfile {file}", "GUNICORN_WORKERS": "1"},
        {"railtrack.http_server.processes.RENEW_EVERY_S": 0.2},
    )
    server.launch()
    try:
        wait_until(lambda: _is_trusted(server, first.client()), server.log)
        assert f"Listening at: https://127.0.0.1:{server.port}" in server.log()
        assert health(server, first.client()) == b'{"status": "ok"}'

        file.write_text("no certificate\n")
        wait_until(lambda: "The renewed certificate is not used" in server.log(), server.log)
        assert health(server, first.client()) == b'{"status": "ok"}'

        renewed = tmp_path / "renewed.pem"
        shutil.copy(second.certify("127.0.0.1"), renewed)
        renewed.rename(file)
        wait_until(lambda: _is_trusted(server, second.client()), server.log)
        assert not _is_trusted(server, first.client())

        environment = {**server.environment, "MLFLOW_TRACKING_SERVER_CERT_PATH": str(second.bundle)}
        verified = command(tmp_path, "verify", f"https://127.0.0.1:{server.port}", **environment)
        assert verified.returncode == 0, verified.stdout
        untrusted = command(tmp_path, "verify", f"https://127.0.0.1:{server.port}")
        assert untrusted.returncode == 1
        assert "its certificate is not trusted" in untrusted.stdout
        assert "set MLFLOW_TRACKING_SERVER_CERT_PATH" in untrusted.stdout
        checked = command(tmp_path, "doctor", **server.environment)
        assert "used by a running Railtrack, ready" in checked.stdout

        script = Path(__file__).parents[2] / "docker" / "mlflow" / "docker-healthcheck.sh"
        assert subprocess.run(["bash", script], env=server.environment, timeout=60, check=False).returncode == 0
    finally:
        server.stop()


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def _is_trusted(server: RailtrackServer, context: ssl.SSLContext) -> bool:
    try:
        return health(server, context) != b""
    except OSError:
        return False
