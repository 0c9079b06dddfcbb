"""The settings file of MLflow's basic-auth app, which MLFLOW_AUTH_CONFIG_PATH names. Variables override its values."""

from collections.abc import Mapping
from configparser import ConfigParser, Error
from pathlib import Path

from railtrack.config.parsers import InvalidValue
from railtrack.errors import StartError, describe_os_error

CONFIG_PATH = "MLFLOW_AUTH_CONFIG_PATH"
SIZE_LIMIT = 64 * 1024
BUILT_IN_FUNCTION = "mlflow.server.auth:authenticate_request_basic_auth"
VARIABLES = {
    "default_permission": "MLFLOW_AUTH_DEFAULT_PERMISSION",
    "admin_username": "MLFLOW_AUTH_ADMIN_USERNAME",
    "admin_password": "MLFLOW_AUTH_ADMIN_PASSWORD",
}
"""Entries of the file that set the same as a variable. Railtrack needs no other ones, except to import users."""


def auth_config_path(path: str) -> str:
    """Parse the setting: check that the file can be used."""
    if path:
        _entries(path)
    return path


def variables_of_auth_config(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the file sets. It is empty for an invalid file, which the setting itself reports."""
    path = environ.get(CONFIG_PATH, "").strip()
    if not path:
        return {}
    try:
        entries = _entries(path)
    except InvalidValue:
        return {}
    return {VARIABLES[name]: value for name, value in entries.items() if name in VARIABLES and value}


def users_database_uri(environ: Mapping[str, str]) -> str:
    """Return the URL of the database with MLflow's users. Raise StartError if there is no usable file."""
    path = environ.get(CONFIG_PATH, "").strip()
    advice = f"Give the URL of MLflow's users as an argument, or set {CONFIG_PATH}."
    if not path:
        raise StartError("The database of MLflow's users is unknown.", advice)
    try:
        uri = _entries(path).get("database_uri", "")
    except InvalidValue as error:
        raise StartError(f"{CONFIG_PATH}: {error}", advice) from None
    if not uri:
        raise StartError(f"{path} has no entry database_uri.", advice)
    return uri


def _entries(path: str) -> dict[str, str]:
    kind = "settings file of MLflow's basic-auth app"
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise InvalidValue(kind, f"It cannot be read: {describe_os_error(error)}.") from None
    except UnicodeDecodeError:
        raise InvalidValue(kind, "It is not UTF-8.") from None
    if len(text) > SIZE_LIMIT:
        raise InvalidValue(kind, f"It is longer than {SIZE_LIMIT} characters.")
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
    except Error as error:
        raise InvalidValue(kind, f"It has an error in line {getattr(error, 'lineno', '?')}.") from None
    if not parser.has_section("mlflow"):
        raise InvalidValue(kind, "It has no section [mlflow].")
    entries = {name: value.strip() for name, value in parser["mlflow"].items()}
    if entries.get("authorization_function", BUILT_IN_FUNCTION) != BUILT_IN_FUNCTION:
        # To ignore it would let in by password whom the function might reject.
        raise InvalidValue(kind, "Its authorization_function is Python code for MLflow. Remove that entry.")
    return entries
