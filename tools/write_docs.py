"""Write the pages of docs/ that are generated from the code: settings, endpoints, metrics. `make docs` runs it."""

import json
import re
import tomllib
from collections import defaultdict
from pathlib import Path

from railtrack.api import endpoints
from railtrack.api.server.openapi import api_description
from railtrack.config.mlflow_options import CLIENTS_ONLY, SATISFIED, UNSUPPORTED
from railtrack.config.settings import SETTINGS
from railtrack.prometheus.exposition import FAMILIES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
HEAD = "<!-- Written by `make docs` from the code: change it there. -->\n"


def pages() -> dict[Path, str]:
    """Return the path and text of each page."""
    return {
        ROOT / "README.md": readme(),
        DOCS / "configuration.md": configuration(),
        DOCS / "endpoints.md": endpoint_list(),
        DOCS / "metrics.md": metrics(),
        DOCS / "mlflow-options.md": mlflow_options(),
        DOCS / "openapi.json": openapi(),
    }


def readme() -> str:
    """Return the README with the paragraph about MLflow's options, as the table of options and the tests have it."""
    reported = sum(len(option.names) for option in UNSUPPORTED)
    starts = tomllib.loads((ROOT / "tests" / "deploy" / "starts.toml").read_text())["start"]
    lines = (
        "The server takes MLflow's flags and variables ([all settings](docs/configuration.md)); its image has the",
        f"command under MLflow's name, too. {reported} options have no counterpart: the start reports in one line each",
        f"what happens instead ([all options](docs/mlflow-options.md)). {len(starts)} published starts, from compose",
        "files, charts and bug reports, are [tests](tests/deploy/starts.toml).",
    )
    pattern = re.compile(r"(<!-- options: .*? -->\n).*?(<!-- /options -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}{chr(10).join(lines)}\n{found[2]}", (ROOT / "README.md").read_text())


def configuration() -> str:
    lines = [
        "# Settings",
        "",
        HEAD,
        "A flag of `railtrack server` overrides its variable. An empty variable counts as unset. A variable with",
        "`_FILE` added to its name contains the path of a file with the value, for mounted secrets. Blanks, line ends",
        "and a pair of quotes around a value are removed. `railtrack doctor` takes the same flags and reports invalid",
        "values ([doctor.md](doctor.md)).",
        "",
        "| variable | flag | default | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for setting in SETTINGS:
        variables = ", else ".join(f"`{name}`" for name in setting.variables)
        flags = ", ".join(f"`{name}`" for name in (*setting.flags, *setting.switches))
        default = f"`{setting.default}`" if setting.default else ""
        lines.append(f"| {variables} | {flags} | {default} | {setting.help} |")
    return "\n".join(lines) + "\n"


def mlflow_options() -> str:
    """Return the table of all flags and variables of `mlflow server`."""
    settings = sorted(
        name
        for setting in SETTINGS
        for name in (*setting.variables, *setting.flags, *setting.switches)
        if name.startswith(("MLFLOW_", "-"))
    )
    lines = [
        "# Options of `mlflow server`",
        "",
        HEAD,
        "Every flag and variable of MLflow 3.17.2 and 3.18.0, from `mlflow server --help` and MLflow's list of",
        "variables. `tests/config/test_mlflow_options.py` compares.",
        "",
        "## Used",
        "",
        "They mean what they mean in MLflow ([configuration](configuration.md)). Some are Railtrack's own.",
        "",
        ", ".join(f"`{name}`" for name in settings),
        "",
        "## Without effect",
        "",
        "The start logs one line for each that is set, and `railtrack doctor` reports the same.",
        "",
        "| options | what happens instead |",
        "| --- | --- |",
    ]
    for option in UNSUPPORTED:
        names = ", ".join(f"`{name}`" for name in option.names)
        effect = f"{option.effect[0].upper()}{option.effect[1:]} {option.advice}".rstrip()
        lines.append(f"| {names} | {effect} |")
    satisfied = ", ".join(f"`{name}`" for name in SATISFIED)
    lines += [
        "",
        f"What {satisfied} ask for is so anyway.",
        "",
        "## For clients only",
        "",
        "Clients, models and MLflow's own processes read these. A server ignores them without a message.",
        "",
        ", ".join(f"`{name}`" for name in sorted(CLIENTS_ONLY)),
    ]
    return "\n".join(lines) + "\n"


def endpoint_list() -> str:
    """Return the list of endpoints. Those under both /api and /ajax-api share a line."""
    prefixes: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for (method, path), route in endpoints().items():
        prefix, rest = re.fullmatch(r"(/api|/ajax-api)?(.*)", path).groups()  # type: ignore[union-attr]
        prefixes[rest, method, route.access.describe()].append(prefix or "")
    lines = [
        "# Endpoints",
        "",
        HEAD,
        "`access` is the permission that a caller needs where access control is on.",
        "",
        "| method | under | path | access |",
        "| --- | --- | --- | --- |",
    ]
    for path, method, access in sorted(prefixes):
        under = " ".join(f"`{prefix}`" for prefix in sorted(prefixes[path, method, access]) if prefix)
        lines.append(f"| {method} | {under} | `{path}` | {access} |")
    return "\n".join(lines) + "\n"


def metrics() -> str:
    lines = [
        "# Metrics",
        "",
        HEAD,
        "The metrics at `/metrics`. How to enable them and what to monitor: [operations](operations.md).",
        "",
        "| metric | type | labels | meaning |",
        "| --- | --- | --- | --- |",
    ]
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels)
        lines.append(f"| `{family.name}` | {family.kind} | {labels} | {family.help} |")
    return "\n".join(lines) + "\n"


def openapi() -> str:
    endpoints()
    return json.dumps(api_description(), indent=1) + "\n"


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(text)
