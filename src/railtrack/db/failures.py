"""Explain why a database cannot be used at the start: what happened, what to do, and whether waiting may help."""

import re
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from railtrack.db.url import DatabaseUrl
from railtrack.errors import StartError, describe_os_error


class Failure(NamedTuple):
    """`message` is the driver's, in one line."""

    message: str
    advice: str
    is_permanent: bool = True
    """Waiting does not help."""

    def start_error(self, url: DatabaseUrl) -> StartError:
        return StartError(f"{url.setting}: {self.message.rstrip('.')} ({url.masked}).", self.advice)


PRIMARY_NEEDED = "This server is read-only: give the address of the primary."
ADVICE = {
    "28P01": "Correct the user and the password.",
    "28000": "Correct the user, or let it in (pg_hba.conf).",
    "3D000": "Create that database, or correct its name.",
    "3F000": "Create a schema (CREATE SCHEMA), or correct the search_path in options=-csearch_path%3DNAME.",
    "42501": "Connect as the owner of the database, or grant this role USAGE and CREATE on the schema.",
    "42704": "Correct the settings in `options`.",
    "22023": "Correct the settings in `options`.",
    "25006": PRIMARY_NEEDED,
    "0A000": "Correct the URL; the driver or the server does not support what it asks for.",
}
"""SQLSTATE of a permanent failure -> what to do."""

TEMPORARY_ADVICE = {
    "53300": "Close other connections, lower GUNICORN_THREADS or GUNICORN_WORKERS, or raise the limit of the server, "
    "the role or the database.",
    "57P03": "Look into the log of PostgreSQL: it starts, recovers or shuts down.",
}

MESSAGES = (
    (
        r"rejected SSL upgrade",
        "The server has no TLS: enable it there (ssl = on), or set sslmode=prefer if the network may be trusted.",
    ),
    (r"valid client certificate", "Set sslcert and sslkey to a certificate that the server accepts."),
    (
        r"no pg_hba.conf entry .*(no encryption|SSL off)",
        "The server accepts this login only with TLS, if at all: set sslmode=require, or let it in (pg_hba.conf).",
    ),
    (
        r"no pg_hba.conf entry .*SSL (encryption|on)",
        "The server accepts this login only without TLS, if at all: set sslmode=prefer, or let it in (pg_hba.conf).",
    ),
    (
        r"SSL required|SSL connection is required|connection is insecure",
        "The server requires TLS: set sslmode=require.",
    ),
    (
        r"unsupported startup parameter",
        "The pooler does not forward `options`: leave it out and set a default instead (ALTER ROLE name SET "
        "search_path = ...), or connect to PostgreSQL directly.",
    ),
    (r"database .* does not exist|no such database", ADVICE["3D000"]),
    (r"no such user", ADVICE["28P01"]),
    (r"(?i)gssapi|sspi", "The driver cannot log in by Kerberos: let the role in by a password (pg_hba.conf)."),
    (
        r"unsupported (SASL Authentication|authentication) method",
        "Let the role in by scram-sha-256 or md5 (pg_hba.conf).",
    ),
    (r"label (empty or )?too long|label empty", "Correct the name of the host."),
)
"""Pattern of a message of a permanent failure -> what to do."""

TEMPORARY_MESSAGES = (
    (r"target_session_attrs", "None of the hosts is of the kind that is needed: promote one, or correct {setting}."),
    (r"no more connections allowed", TEMPORARY_ADVICE["53300"]),
)

WRONG_HOST = "Use the host name that is in the server's certificate, or sslmode=verify-ca, which does not compare it."
UNTRUSTED = (
    "Set sslrootcert to the certificate of the authority that issued it, or to `system` if that is a public one."
)
CERTIFICATE_ADVICE = {
    9: "The certificate is not valid yet: correct the clock of this machine.",
    10: "Renew the server's certificate.",
    23: "The server's certificate is revoked: replace it.",
    62: WRONG_HOST,
    64: WRONG_HOST,
}
"""OpenSSL's verification errors -> what to do."""


def explain(error: BaseException, url: DatabaseUrl) -> Failure:
    """Return what a driver's exception means for the start."""
    if url.engine == "sqlite":
        return Failure(message_of(error), "It has to be a SQLite file, in a folder that this user may write to.")
    errors = list(_chain(error))
    for one in errors:
        if isinstance(one, ssl.SSLError):
            return _explain_tls(one)
    # With sslmode=prefer, the first attempt's error is the cause of the last one's, and the one that matters.
    first = errors[-1] if _sqlstate(errors[-1]) else error
    state, message = _sqlstate(first), message_of(first)
    if isinstance(first, OSError | TimeoutError) and "SSL upgrade" not in message:
        return Failure(message, _network_advice(first, url), is_permanent=False)
    if state == "28P01":
        return Failure(
            # A pooler has another message for this one. People and platforms look for PostgreSQL's.
            f'password authentication failed for user "{url.user}"',
            ADVICE[state] if url.password or url.host_passwords else "The URL has no password: add it.",
        )
    for pattern, advice in MESSAGES:
        if re.search(pattern, message):
            return Failure(message, advice)
    for pattern, advice in TEMPORARY_MESSAGES:
        if re.search(pattern, message):
            return Failure(message, advice.format(setting=url.setting), is_permanent=False)
    if state in ADVICE:
        return Failure(message, ADVICE[state])
    if state in TEMPORARY_ADVICE:
        return Failure(message, TEMPORARY_ADVICE[state], is_permanent=False)
    if isinstance(first, ValueError):  # of the driver or of Python, before anything is sent
        return Failure(message, "Correct the URL.")
    return Failure(message, f"Check {url.setting}, and the log of PostgreSQL.", is_permanent=False)


def _explain_tls(error: ssl.SSLError) -> Failure:
    if isinstance(error, ssl.SSLCertVerificationError):
        message = f"The server's certificate cannot be verified: {error.verify_message}"
        return Failure(message, CERTIFICATE_ADVICE.get(error.verify_code, UNTRUSTED))
    reason = (error.reason or str(error)).replace("_", " ").lower()
    advice = (
        "Compare the TLS versions of both sides, and the client certificate (sslcert, sslkey) with the server's CA."
    )
    return Failure(f"TLS failed: {reason}", advice)


def _network_advice(error: BaseException, url: DatabaseUrl) -> str:
    if isinstance(error, FileNotFoundError) or url.host.startswith("/"):
        return f"Check {url.setting}, and that PostgreSQL's socket is in that folder: mount it into the container."
    if url.options.get("sslnegotiation") == "direct" and isinstance(error, ConnectionError):
        return "sslnegotiation=direct needs PostgreSQL 17 or newer: leave it out for an older one."
    return f"Check {url.setting}, and that PostgreSQL runs there and can be reached from here."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and its causes: at most a few, those of the two attempts of sslmode=prefer."""
    seen: BaseException | None = error
    for _ in range(4):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__


def _sqlstate(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def message_of(error: BaseException) -> str:
    """Return the first line of the driver's message, or a description where it is empty."""
    if isinstance(error, OSError):
        return describe_os_error(error)
    return str(error).partition("\n")[0] or type(error).__name__
