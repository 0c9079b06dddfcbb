"""Register and look up differences from MLflow. The entries are in the other modules of this package."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.compat.overrides import Override, Response


class Difference(NamedTuple):
    why: str
    ours: Override


DIFFERENCES: dict[str, dict[str, Difference]] = {}
"""Scenario -> exchange name, or prefix with a star -> difference."""


def because(why: str, responses: Mapping[str, Mapping[str | tuple[str, ...], Override]]) -> None:
    """Register differences that have the same reason."""
    for scenario, of_scenario in responses.items():
        known = DIFFERENCES.setdefault(scenario, {})
        for names, ours in of_scenario.items():
            for name in (names,) if isinstance(names, str) else names:
                assert name not in known, f"{scenario}: {name} is listed twice"
                known[name] = Difference(why, ours)


def difference(scenario: str, exchange: str) -> Difference | None:
    """Return the entry for an exchange: by its name, otherwise by the longest prefix."""
    listed = DIFFERENCES.get(scenario, {})
    if exchange in listed:
        return listed[exchange]
    starred = [name for name in listed if name.endswith("*") and exchange.startswith(name[:-1])]
    return listed[max(starred, key=len)] if starred else None


def expected(scenario: str, exchange: str, request: dict[str, Any], theirs: Response) -> Response:
    """Return the response expected from Railtrack, given MLflow's response `theirs`."""
    found = difference(scenario, exchange)
    return found.ours(request, theirs) if found else theirs


def entered(scenario: str, exchanges: Iterable[str]) -> dict[str, list[str]]:
    """Return the exchanges that each entry of a scenario applies to."""
    by_entry: dict[str, list[str]] = {name: [] for name in DIFFERENCES.get(scenario, {})}
    for exchange in exchanges:
        for name, one in DIFFERENCES.get(scenario, {}).items():
            if one is difference(scenario, exchange):
                by_entry[name].append(exchange)
    return by_entry
