"""The TLS context of a client, as MLflow's clients configure it."""

import ssl

from railtrack.config.client_settings import ClientTls
from railtrack.errors import StartError


def client_context(tls: ClientTls) -> ssl.SSLContext:
    """Return the context of a client. Raise StartError for files that it cannot use."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None)
    except (OSError, ssl.SSLError):
        raise StartError(
            f"MLFLOW_TRACKING_SERVER_CERT_PATH: {tls.ca_file!r} is not a file with certificates in PEM form."
        ) from None
    if tls.is_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        try:
            context.load_cert_chain(tls.cert_file)
        except (OSError, ssl.SSLError):
            raise StartError(
                f"MLFLOW_TRACKING_CLIENT_CERT_PATH: {tls.cert_file!r} is not a PEM file with a certificate and its key."
            ) from None
    return context
