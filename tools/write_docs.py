"""Write the pages of docs/ that are generated from the code: settings, endpoints, metrics. `make docs` runs it."""

import json
import re
from collections import defaultdict
from pathlib import Path

from railtrack.api import endpoints
from railtrack.api.server.openapi import api_description
from railtrack.config.settings import SETTINGS
from railtrack.prometheus.exposition import FAMILIES

DOCS = Path(__file__).parents[1] / "docs"
HEAD = "<!-- Written by `make docs` from the code: change it there. -->\n"


def pages() -> dict[Path, str]:
    """Return the path and text of each page."""
    return {
        DOCS / "configuration.md": configuration(),
        DOCS / "endpoints.md": endpoint_list(),
        DOCS / "metrics.md": metrics(),
        DOCS / "openapi.json": openapi(),
    }


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
