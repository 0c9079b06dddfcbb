"""The TLS context of the server: its certificate, which may be renewed while the server runs, and its requirements.

The bytes of a connection are in tls_connection.py.
"""

import logging
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from railtrack.config.tls_settings import TlsSettings
from railtrack.errors import StartError, describe_os_error

log = logging.getLogger("railtrack")

CERT_FILE = "RAILTRACK_TLS_CERT_FILE (--ssl-certfile)"
KEY_FILE = "RAILTRACK_TLS_KEY_FILE (--ssl-keyfile)"
KEY_PASSWORD = "RAILTRACK_TLS_KEY_PASSWORD (--ssl-keyfile-password)"  # noqa: S105 (a name)
CA_FILE = "RAILTRACK_TLS_CLIENT_CA_FILE (--ssl-ca-certs)"
RENEWAL_NOTICE = timedelta(days=14)
"""Or the last fifth of a certificate with a shorter validity."""

_CLIENT_CERTIFICATES = {"off": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return the context of a server with TLS. Raise StartError for files that are missing or do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if settings.ciphers:
        try:
            context.set_ciphers(settings.ciphers)
        except ssl.SSLError:
            raise StartError(
                f"Invalid ciphers in RAILTRACK_TLS_CIPHERS (--ssl-ciphers): {settings.ciphers!r}.",
                "Use OpenSSL's notation, such as ECDHE+AESGCM, or none for its default.",
            ) from None
    _load_certificate(context, settings)
    if settings.client_certificates != "off":
        _load_client_cas(context, settings)
    context.verify_mode = _CLIENT_CERTIFICATES[settings.client_certificates]
    return context


def check_tls_settings(settings: TlsSettings) -> None:
    """Raise StartError for a server whose TLS would not work. Do nothing without TLS."""
    if settings.is_enabled:
        server_context(settings)
    elif settings.key_file:
        raise StartError(f"{KEY_FILE} is set, but no certificate.", f"Set {CERT_FILE}, too.")
    elif settings.client_certificates != "off":
        raise StartError(
            f"RAILTRACK_TLS_CLIENT_CERTIFICATES (--ssl-cert-reqs) is {settings.client_certificates}, but the server "
            "has no certificate itself.",
            f"Set {CERT_FILE}, too.",
        )


def certificate_warnings(settings: TlsSettings, now: datetime | None = None) -> list[str]:
    """Warn of a certificate that clients reject, or soon will, because of its age."""
    from cryptography import x509

    if not settings.is_enabled:
        return []
    certificate = x509.load_pem_x509_certificates(Path(settings.cert_file).read_bytes())[0]
    now = now or datetime.now(UTC)
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= end:
        return [f"{CERT_FILE}: the certificate expired on {end:%Y-%m-%d %H:%M} UTC. Clients reject it. Renew it."]
    if now < start:
        return [f"{CERT_FILE}: the certificate is not valid before {start:%Y-%m-%d %H:%M} UTC. Clients reject it."]
    if now >= end - min(RENEWAL_NOTICE, (end - start) / 5):
        return [f"{CERT_FILE}: the certificate expires on {end:%Y-%m-%d %H:%M} UTC. Renew it."]
    return []


def _load_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    certificate = _read(CERT_FILE, settings.cert_file)
    key = _read(KEY_FILE, settings.key_file) if settings.key_file else certificate
    if b"-----BEGIN CERTIFICATE-----" not in certificate:
        raise StartError(f"{CERT_FILE}: {settings.cert_file!r} has no certificate in PEM form.", "Convert it to PEM.")
    if b"PRIVATE KEY-----" not in key:
        where = f"{KEY_FILE}: {settings.key_file!r}" if settings.key_file else f"{CERT_FILE}: {settings.cert_file!r}"
        raise StartError(f"{where} has no private key in PEM form.", f"Set {KEY_FILE} to the file of the key.")

    def ask_for_password() -> NoReturn:
        raise StartError(f"{KEY_FILE}: the key is encrypted.", f"Set {KEY_PASSWORD}.")

    try:
        context.load_cert_chain(
            settings.cert_file, settings.key_file or None, settings.key_password or ask_for_password
        )
    except ssl.SSLError as error:
        raise _certificate_error(error, settings, b"ENCRYPTED" in key) from None


def _certificate_error(error: ssl.SSLError, settings: TlsSettings, is_encrypted: bool) -> StartError:
    if error.reason == "KEY_VALUES_MISMATCH":
        return StartError(
            f"{KEY_FILE}: the key does not belong to the certificate in {settings.cert_file!r}.",
            "The file of the certificate has to start with the server's own, followed by those of its CAs.",
        )
    if is_encrypted:
        return StartError(f"{KEY_PASSWORD}: the password does not open the key.", "Correct it.")
    return StartError(
        f"{CERT_FILE}, {KEY_FILE}: OpenSSL cannot use the certificate and its key ({error.reason or error}).",
        "Create them again, with an RSA key of at least 2048 bits or an EC key.",
    )


def _load_client_cas(context: ssl.SSLContext, settings: TlsSettings) -> None:
    if not settings.client_ca_file:
        raise StartError(
            "RAILTRACK_TLS_CLIENT_CERTIFICATES (--ssl-cert-reqs): it is unknown which CAs issue them.",
            f"Set {CA_FILE}.",
        )
    _read(CA_FILE, settings.client_ca_file)
    try:
        context.load_verify_locations(settings.client_ca_file)
    except ssl.SSLError:
        raise StartError(
            f"{CA_FILE}: {settings.client_ca_file!r} has no certificate in PEM form.", "Convert it to PEM."
        ) from None


def _read(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        fault = f"{name}: cannot read the file {path!r} ({describe_os_error(error)})."
        raise StartError(fault, "Name a file that the server may read.") from None


class ServerTls:
    """The context that the workers of a server inherit. Each of them loads renewed files into it."""

    def __init__(self, settings: TlsSettings) -> None:
        self._settings = settings
        self._versions = self._file_versions()
        self.context = server_context(settings)

    def reload_if_changed(self) -> None:
        """Load the certificate again if its files changed. Keep the former one, and log why, if they do not fit."""
        versions = self._file_versions()
        if versions == self._versions:
            return
        self._versions = versions
        try:
            server_context(self._settings)  # a failure would leave the context in use without a key
            _load_certificate(self.context, self._settings)
        except StartError as error:
            log.error("The renewed certificate is not used: %s", error)
        else:
            log.info("Loaded the renewed certificate in %s", self._settings.cert_file)

    def _file_versions(self) -> Sequence[tuple[int, int] | None]:
        files = [name for name in (self._settings.cert_file, self._settings.key_file) if name]
        return [_file_version(name) for name in files]


def _file_version(path: str) -> tuple[int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
