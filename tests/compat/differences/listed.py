"""The list of differences: how an entry is made and found. The entries themselves are in the modules beside."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.compat.ours import Ours, Response


class Difference(NamedTuple):
    why: str
    ours: Ours


DIFFERENCES: dict[str, dict[str, Difference]] = {}
"""Scenario -> exchange, or beginning of exchanges -> what we answer there."""


def because(why: str, responses: Mapping[str, Mapping[str | tuple[str, ...], Ours]]) -> None:
    """Enter differences that have one reason."""
    for scenario, of_scenario in responses.items():
        known = DIFFERENCES.setdefault(scenario, {})
        for names, ours in of_scenario.items():
            for name in (names,) if isinstance(names, str) else names:
                assert name not in known, f"{scenario}: {name} is listed twice"
                known[name] = Difference(why, ours)


def difference(scenario: str, exchange: str) -> Difference | None:
    """The entry for an exchange: by its own name, else by the longest beginning."""
    listed = DIFFERENCES.get(scenario, {})
    if exchange in listed:
        return listed[exchange]
    starred = [name for name in listed if name.endswith("*") and exchange.startswith(name[:-1])]
    return listed[max(starred, key=len)] if starred else None


def expected(scenario: str, exchange: str, request: dict[str, Any], theirs: Response) -> Response:
    """What Railtrack is to answer, where MLflow answers `theirs`."""
    found = difference(scenario, exchange)
    return found.ours(request, theirs) if found else theirs


def entered(scenario: str, exchanges: Iterable[str]) -> dict[str, list[str]]:
    """For each entry of a scenario the exchanges that it decides."""
    by_entry: dict[str, list[str]] = {name: [] for name in DIFFERENCES.get(scenario, {})}
    for exchange in exchanges:
        for name, one in DIFFERENCES.get(scenario, {}).items():
            if one is difference(scenario, exchange):
                by_entry[name].append(exchange)
    return by_entry
