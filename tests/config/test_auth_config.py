"""The settings file of MLflow's basic-auth app."""

from pathlib import Path

import pytest

from railtrack.config.settings import Settings, load, mlflow_users_uri
from railtrack.errors import StartError

FILE = """
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///users.db
admin_username = root
admin_password = 50% of a secret
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


def loaded(path: Path, text: str, **environ: str) -> Settings:
    path.write_text(text)
    return load({}, {"MLFLOW_AUTH_CONFIG_PATH": str(path), **environ})


def test_its_values_apply(tmp_path: Path) -> None:
    auth = loaded(tmp_path / "auth.ini", FILE).auth
    assert (auth.default_permission, auth.admin_username) == ("NO_PERMISSIONS", "root")
    assert auth.admin_password == "50% of a secret"
    assert mlflow_users_uri({"MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini")}) == "sqlite:///users.db"


def test_a_variable_overrides_it(tmp_path: Path) -> None:
    auth = loaded(tmp_path / "auth.ini", FILE, MLFLOW_AUTH_DEFAULT_PERMISSION="EDIT").auth
    assert (auth.default_permission, auth.admin_username) == ("EDIT", "root")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", r"no section \[mlflow\]"),
        ("default_permission = READ", "error in line"),
        (FILE.replace("authenticate_request_basic_auth", "my_function"), "authorization_function"),
        (FILE.replace("NO_PERMISSIONS", "WRITE"), "Invalid value in MLFLOW_AUTH_DEFAULT_PERMISSION"),
        ("x" * 70_000, "longer than"),
    ],
)
def test_an_invalid_file_prevents_the_start(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StartError, match=reason):
        loaded(tmp_path / "auth.ini", text)


def test_a_missing_file_prevents_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot be read"):
        load({}, {"MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "none.ini")})
