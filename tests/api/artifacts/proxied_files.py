"""Helpers for tests of artifacts: store and list files through the proxy, look artifact roots up."""

from pathlib import Path

from tests.client import Client, Response

from railtrack.db import Db

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
AJAX_PROXY = "/ajax-api/2.0/mlflow-artifacts/artifacts"
CODES = {
    400: "INVALID_PARAMETER_VALUE",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    501: "NOT_IMPLEMENTED",
}
UPLOAD = "/ajax-api/2.0/mlflow/upload-artifact"


async def put(client: Client, path: str, body: bytes | list[bytes] = b"x") -> Response:
    return await client.send("PUT", f"{PROXY}/{path}", body=body)


async def store(client: Client, path: str, body: bytes = b"x") -> None:
    answer = await put(client, path, body)
    assert (answer.status, answer.body) == (200, b"")


async def list_names(client: Client, path: str) -> list[str]:
    answer = await client.ok("GET", PROXY, query={"path": path})
    return [entry["path"] for entry in answer.get("files", [])]


def file_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def error_message(answer: Response, status: int) -> str:
    """Assert the status and its usual error code, and return the message."""
    assert (answer.status, answer.json["error_code"]) == (status, CODES[status]), answer.text
    message: str = answer.json["message"]
    return message


async def artifact_root(db: Db, run: str) -> str:
    uri = await db.fetch_value("SELECT artifact_uri FROM runs WHERE run_uuid = $1", run)
    return str(uri).removeprefix("mlflow-artifacts:/")
