"""Requests that a program sent, as a file and as a scenario. record_programs.py writes the files.

Ids that a server returned are placeholders, such as `${run1}`, and the name of the experiment begins with `${prefix}`.
A body that is not JSON is kept as text, or as its length if it is binary.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.compat.play import Exchange, Response, Scenario, Script

FOLDER = Path(__file__).parent / "sent"
CREATED = {
    "experiments/create": ("experiment", ("experiment_id",)),
    "runs/create": ("run", ("run", "info", "run_id")),
    "logged-models": ("model", ("model", "info", "model_id")),
}
"""Path below /api/2.0/mlflow/ -> the placeholder's name, and where the response has the id."""
PLACEHOLDER = re.compile(r"\$\{\w+\}")


def created_id(method: str, path: str, response: Response) -> tuple[str, str] | None:
    """Return the kind and the id of what a request created."""
    kind, keys = CREATED.get(path.partition("/mlflow/")[2], ("", ()))
    if method != "POST" or not kind or response.status != 200:
        return None
    return kind, response.at(*keys)


def placeholder(kind: str, known: Iterable[str]) -> str:
    """Return the placeholder of a new id, which is one of several of its kind."""
    return f"${{{kind}{sum(one.startswith(f'${{{kind}') for one in known) + 1}}}"


def load(name: str) -> list[dict[str, Any]]:
    requests: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return requests


def scenario(name: str) -> Scenario:
    """Return the scenario that sends the recorded requests again."""

    def script(prefix: str) -> Script:
        values = {"${prefix}": prefix}
        for number, request in enumerate(load(name), 1):
            text = PLACEHOLDER.sub(lambda match: values.get(match[0], match[0]), json.dumps(request))
            sent = json.loads(text)
            body, shows = _body(sent)
            exchange = Exchange(
                f"{number} {request['method']} {request['path'].partition('?')[0]}",
                sent["method"],
                sent["path"],
                body,
                sent["headers"],
                shows,
            )
            response = yield exchange
            if created := created_id(exchange.method, exchange.path, response):
                kind, id_ = created
                values[placeholder(kind, values)] = id_

    return script


def _body(sent: dict[str, Any]) -> tuple[bytes, Any]:
    if "json" in sent:
        return json.dumps(sent["json"]).encode(), sent["json"]
    if "bytes" in sent:
        return bytes(sent["bytes"]), None
    return sent.get("text", "").encode(), sent.get("text")
