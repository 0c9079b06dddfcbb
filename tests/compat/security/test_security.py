"""The security settings as MLflow applies them: the recorded responses of two versions, compared with Railtrack's."""

import argparse
import json
from typing import Any

import pytest
from tests.client import running_app
from tests.compat.security.cases import CONFIGURATIONS, REQUESTS, Configuration, Request
from tests.compat.security.differences import DIFFERENCES
from tests.compat.security.record import compared, load

from railtrack.cli.flags import add_flags
from railtrack.config import settings as config
from railtrack.config.settings import Settings

RECORDED = load()
FOLLOWED = "3.18.0"
"""The version to follow where both differ: it rejects host names for patterns of addresses."""


def settings_of(configuration: Configuration, base: Settings) -> Settings:
    """Return the settings as the command line and the environment resolve them, on the database of `base`."""
    parser = argparse.ArgumentParser(add_help=False)
    add_flags(parser)
    flags = vars(parser.parse_args(list(configuration.flags)))
    flags |= {"database.uri": base.database.uri, "data_folder": str(base.data_folder)}
    return config.load(flags, configuration.environment)


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_browsers_get_the_responses_of_mlflow_except_for_the_listed_differences(
    name: str, sqlite_settings: Settings
) -> None:
    report = []
    async with running_app(settings_of(CONFIGURATIONS[name], sqlite_settings)) as client:
        for request in REQUESTS[name]:
            body = b'{"name": ""}' if request.method == "POST" else b""
            content = {"Content-Type": "application/json"} if body else {}
            headers = {"Host": request.host or "", **request.headers, **content}
            response = await client.send(request.method, request.path, body=body, headers=headers)
            ours = essence(request, compared(response.status, response.headers.items(), response.body))
            wanted = essence(request, expected(name, request))
            if ours != wanted:
                report.append(f"{request.name}\n  wanted {wanted}\n  got    {ours}")
    assert not report, f"{len(report)} of {len(REQUESTS[name])} requests:\n" + "\n".join(report)


def test_each_listed_difference_is_one() -> None:
    for difference in DIFFERENCES:
        for name in difference.configurations:
            changed = [
                request.name
                for request in REQUESTS[name]
                if difference.applies(request)
                and difference.edit(request, of_mlflow(name, request)) != of_mlflow(name, request)
            ]
            assert changed, f"{difference.reason} ({name})"


def of_mlflow(name: str, request: Request) -> dict[str, Any]:
    response: dict[str, Any] = RECORDED[name][request.name]
    return response.get("by version", {FOLLOWED: response})[FOLLOWED]


def expected(name: str, request: Request) -> dict[str, Any]:
    response = of_mlflow(name, request)
    for difference in DIFFERENCES:
        if name in difference.configurations and difference.applies(request):
            response = difference.edit(request, response)
    return response


def essence(request: Request, response: dict[str, Any]) -> dict[str, Any]:
    """Return the response without details that have no effect.

    A rejection has MLflow's sentence, in the JSON form at the beginning of the message. A response that is not shown
    may have the frame header or not, and a failed preflight request allows nothing, whatever it lists.
    """
    if response["status"] == 403:
        text = response["text"]
        message: str = json.loads(text)["message"] if text.startswith("{") else text
        return {"status": 403, "text": message.partition(". ")[0]}
    if request.method == "OPTIONS":
        if response["status"] >= 400:
            return {"status": response["status"]}
        return {name: value for name, value in response.items() if name != "frames"}
    return response
