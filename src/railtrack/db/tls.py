"""TLS contexts for PostgreSQL from libpq's parameters: sslmode, sslrootcert, sslcert and others."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from railtrack.errors import StartError, describe_os_error

HOME_FILES = {
    "sslrootcert": "~/.postgresql/root.crt",
    "sslcrl": "~/.postgresql/root.crl",
    "sslcert": "~/.postgresql/postgresql.crt",
    "sslkey": "~/.postgresql/postgresql.key",
}
"""What libpq reads where a parameter is not set and the file exists."""
SYSTEM_CERTIFICATES = "system"
ALPN = "postgresql"
VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}


class PostgresTlsContext(ssl.SSLContext):
    """A context of a client that verifies `certificate_name` instead of the address that it connects to, if it is set.

    asyncio and uvloop create all TLS objects by wrap_bio().
    """

    certificate_name: str = ""

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        if self.certificate_name:
            options["server_hostname"] = self.certificate_name
        return super().wrap_bio(*args, **options)


class TlsContexts:
    """Builds a context when it is needed, and again when one of its files has changed: certificates get renewed."""

    def __init__(self, options: Mapping[str, str], setting: str) -> None:
        self._options = options
        self._setting = setting
        self._built: dict[str, tuple[tuple[Any, ...], PostgresTlsContext]] = {}

    def get(self, certificate_name: str = "") -> PostgresTlsContext:
        """Return the context for a server with this name in its certificate; "": the name that is connected to.

        Raise StartError for a file that cannot be used.
        """
        version = tuple(_version_of(self.file(name)) for name in HOME_FILES)
        built = self._built.get(certificate_name)
        if built is None or built[0] != version:
            context = self._build()
            context.certificate_name = certificate_name
            built = self._built[certificate_name] = version, context
        return built[1]

    def file(self, name: str) -> Path | None:
        """Return the file that a parameter names, or libpq's default, None if it does not exist."""
        path = Path(os.path.expanduser(self._options.get(name) or HOME_FILES[name]))  # noqa: PTH111 (no home: no error)
        return path if path.is_file() else None

    def missing_files(self) -> list[str]:
        """Return the parameters that name a file that does not exist, as name=file."""
        return [
            f"{name}={self._options[name]}"
            for name in HOME_FILES
            if name in self._options and self._options[name] != SYSTEM_CERTIFICATES and self.file(name) is None
        ]

    def _build(self) -> PostgresTlsContext:
        options = self._options
        mode = options.get("sslmode", "prefer")
        context = PostgresTlsContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = VERSIONS[options.get("ssl_min_protocol_version", "TLSv1.2")]
        if "ssl_max_protocol_version" in options:
            context.maximum_version = VERSIONS[options["ssl_max_protocol_version"]]
        context.set_alpn_protocols([ALPN])
        if mode in ("require", "verify-ca", "verify-full"):
            self._load_authorities(context, mode)
        if options.get("sslcertmode") != "disable":
            self._load_certificate(context)
        return context

    def _load_authorities(self, context: ssl.SSLContext, mode: str) -> None:
        root = self.file("sslrootcert")
        if self._options.get("sslrootcert") == SYSTEM_CERTIFICATES:
            context.load_default_certs()
        elif root is not None:
            with _as_start_error(f"{self._setting}: cannot read certificates from the file of sslrootcert, {root}"):
                context.load_verify_locations(cafile=root)
        elif mode == "require":
            return
        else:
            raise StartError(
                f"{self._setting}: sslmode={mode} needs the certificate of the server's authority, and there is no "
                f"file {self._options.get('sslrootcert') or HOME_FILES['sslrootcert']}.",
                "Set sslrootcert=FILE, or sslrootcert=system for the system's list of public authorities.",
            )
        context.verify_mode = ssl.CERT_REQUIRED
        context.check_hostname = mode == "verify-full"
        revoked, folder = self.file("sslcrl"), self._options.get("sslcrldir")
        if revoked or folder:
            with _as_start_error(f"{self._setting}: cannot read the revocation lists of sslcrl or sslcrldir"):
                context.load_verify_locations(revoked, folder)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        certificate, key = self.file("sslcert"), self.file("sslkey")
        if certificate is None:
            return
        password = self._options.get("sslpassword", "")
        reason = f"cannot use the client certificate {certificate} (sslcert) with its key (sslkey, sslpassword)"
        with _as_start_error(f"{self._setting}: {reason}"):
            context.load_cert_chain(certificate, key, lambda: password)


@contextmanager
def _as_start_error(fault: str) -> Iterator[None]:
    """Raise the errors of a block as StartError."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, ssl.SSLError):
            reason = (error.reason or str(error)).replace("_", " ").lower()
        else:
            reason = describe_os_error(error) if isinstance(error, OSError) else str(error)
        raise StartError(f"{fault}: {reason}.", "Correct the files, which have to be PEM.") from None


def _version_of(path: Path | None) -> tuple[str, int, int] | None:
    if path is None:
        return None
    status = path.stat()
    return str(path), status.st_mtime_ns, status.st_ino
