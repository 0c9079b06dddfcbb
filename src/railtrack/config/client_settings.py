"""The variables of MLflow's clients that `railtrack verify` follows: login, TLS and the artifact store."""

import os
from collections.abc import Mapping
from typing import NamedTuple

from railtrack.config.lookup import default_of
from railtrack.config.sanitize import sanitized
from railtrack.config.settings import Settings, resolve_all, settings_from

CLIENT_SETTINGS = ("aws.", "s3.", "artifacts.destination")
"""Paths of the settings that `railtrack verify` uses, too."""


def client_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Return settings from the environment of a client. Settings that only a server uses fall back to their default if
    they are invalid.
    """
    return settings_from(
        default_of(one) if one.error and not one.setting.path.startswith(CLIENT_SETTINGS) else one
        for one in resolve_all({}, environ)
    )


class ClientTls(NamedTuple):
    """How MLflow's clients trust a server. `ca_file`: of the CAs, "" for the system's; `cert_file`: of the client's own
    certificate and key.
    """

    ca_file: str = ""
    cert_file: str = ""
    is_insecure: bool = False


def client_tls(environ: Mapping[str, str] = os.environ) -> ClientTls:
    """Return what MLflow's clients are configured to. REQUESTS_CA_BUNDLE is for all programs that use requests."""
    names = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    ca_file = next((text for name in names if (text := sanitized(environ.get(name, "")))), "")
    is_insecure = sanitized(environ.get("MLFLOW_TRACKING_INSECURE_TLS", "")).lower() in ("true", "1")
    return ClientTls(ca_file, sanitized(environ.get("MLFLOW_TRACKING_CLIENT_CERT_PATH", "")), is_insecure)


class ClientLogin(NamedTuple):
    """The login that MLflow's clients send; "" for what is not set."""

    user: str
    password: str
    token: str


def client_s3_endpoint(environ: Mapping[str, str] = os.environ) -> str:
    """Return the endpoint that MLflow's client and boto3 use, which read fewer variables than the server."""
    names = ("MLFLOW_S3_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return next((text for name in names if (text := sanitized(environ.get(name, "")))), "")


def client_login(environ: Mapping[str, str] = os.environ) -> ClientLogin:
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    return ClientLogin(*(sanitized(environ.get(name, "")) for name in names))


def tracking_uri(environ: Mapping[str, str] = os.environ) -> str:
    """Return the URL of the server that MLflow's clients use, "" if it is not set."""
    return sanitized(environ.get("MLFLOW_TRACKING_URI", ""))
