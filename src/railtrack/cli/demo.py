"""`railtrack demo`: fill a running server with a made-up training to look around in, and remove it again."""

import argparse
import asyncio
import json
import sys
from typing import Any

from railtrack.checks.client import ApiResponse, UnexpectedResponse, VerifyClient
from railtrack.cli.verify import authorization
from railtrack.config.client_settings import client_settings, tracking_uri
from railtrack.demo import EXPERIMENT, MODEL, create_demo, delete_demo
from railtrack.errors import ApiError, StartError

DEFAULT_URL = "http://127.0.0.1:5000"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "url", nargs="?", metavar="URL", help=f"URL of the server. [MLFLOW_TRACKING_URI; default: {DEFAULT_URL}]"
    )
    parser.add_argument("--token", help="Bearer token to send. [MLFLOW_TRACKING_TOKEN]")
    parser.add_argument("--delete", action="store_true", help="Remove the demo.")


def run(options: argparse.Namespace) -> int:
    """Return 0, or 1 after one line with the reason."""
    options.url = options.url or tracking_uri() or DEFAULT_URL
    try:
        client = VerifyClient(options.url, authorization(options, client_settings().auth))
        return asyncio.run(_run(client, deletes=options.delete))
    except StartError as error:
        print(f"Error: {error}", file=sys.stderr)
    except UnexpectedResponse as error:
        print(f"Error: {error.fault.rstrip('.')}. Give the URL of a running server.", file=sys.stderr)
    except ApiError as error:
        print(f"Error: {error.status} {error.message}", file=sys.stderr)
    return 1


async def _run(client: VerifyClient, *, deletes: bool) -> int:
    try:
        demo = _HttpDemoClient(client)
        if deletes:
            print("Removed the demo." if await delete_demo(demo) else "There is no demo.")
        else:
            experiment_id = await create_demo(demo)
            print(f"Created the experiment {EXPERIMENT!r} and the model {MODEL!r}.")
            print(f"{client.shown_url}/#/experiments/{experiment_id}")
    finally:
        client.close()
    return 0


class _HttpDemoClient:
    def __init__(self, client: VerifyClient) -> None:
        self._client = client

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        target = f"api/2.0/mlflow/{path}"
        if method == "GET":
            return _content(await self._client.send(method, target, body))
        content = json.dumps(body or {}).encode()
        return _content(await self._client.send(method, target, None, content, "application/json"))

    async def upload(self, run_id: str, path: str, data: bytes) -> None:
        query = {"run_uuid": run_id, "path": path}
        target = "ajax-api/2.0/mlflow/upload-artifact"
        _content(await self._client.send("POST", target, query, data, "application/octet-stream"))


def _content(response: ApiResponse) -> Any:
    """Return the JSON of a response. Raise ApiError for MLflow's errors, UnexpectedResponse for other responses."""
    try:
        content = json.loads(response.body or b"{}")
        if response.status == 200:
            return content
        raise ApiError(str(content["error_code"]), str(content["message"]), status=response.status)
    except (ValueError, KeyError, TypeError):
        raise UnexpectedResponse(f"The server returned {response}.") from None
