"""The settings of TLS by the server itself."""

from dataclasses import dataclass

from railtrack.config import parsers
from railtrack.config.lookup import setting


@dataclass(frozen=True, slots=True)
class TlsSettings:
    cert_file: str = setting(
        "RAILTRACK_TLS_CERT_FILE",
        flags=("--tls-cert-file",),
        parse=parsers.text,
        default="",
        help="File of the server's certificate (PEM), followed by those of intermediate CAs. With it, the server "
        "speaks HTTPS on all of its ports ([operations](operations.md#tls-by-the-server-itself)).",
    )
    key_file: str = setting(
        "RAILTRACK_TLS_KEY_FILE",
        flags=("--tls-key-file",),
        parse=parsers.text,
        default="",
        help="File of the certificate's private key (PEM). Default: the file of the certificate, which may contain it.",
    )
    key_password: str = setting(
        "RAILTRACK_TLS_KEY_PASSWORD",
        parse=parsers.text,
        default="",
        help="Password of the private key, if it is encrypted.",
        secret=True,
    )
    client_certificates: str = setting(
        "RAILTRACK_TLS_CLIENT_CERTIFICATES",
        flags=("--tls-client-certificates",),
        parse=parsers.one_of("off", "optional", "required"),
        default="off",
        help="Whether clients have to identify themselves by a certificate: `off`, `required`, or `optional`, which "
        "checks the certificate of those that send one.",
    )
    client_ca_file: str = setting(
        "RAILTRACK_TLS_CLIENT_CA_FILE",
        flags=("--tls-client-ca-file",),
        parse=parsers.text,
        default="",
        help="File of the CAs (PEM) that issue the certificates of clients.",
    )
    ciphers: str = setting(
        "RAILTRACK_TLS_CIPHERS",
        parse=parsers.text,
        default="",
        help="Cipher suites of TLS 1.2, in OpenSSL's notation. Default: those of OpenSSL with forward secrecy.",
    )

    @property
    def is_enabled(self) -> bool:
        return bool(self.cert_file)
