"""What Railtrack aims at, and whether a record holds it. Measures nothing."""

from collections.abc import Iterator, Sequence
from statistics import mean
from typing import Any, NamedTuple

from bench.servers import FASTTRACKML, IN_THE_GUIDES_SHAPE, RAILTRACK

RATIOS = {
    "log-metric": 25,
    "log-batch of 100 metrics": 25,
    "create-run": 12,
    "search, page of 100, filter and metric order": 30,
    "search, page of 1,000": 20,
    "get-run, 20 metrics": 30,
    "get-run, 1,000 metrics": 30,
    "get-history, 20,000 points": 30,
    "get-history-bulk-interval, 320 of 100,000": 20,
}
"""Load -> at least so many times MLflow's rate."""
LOG_METRIC, BESIDE_FASTTRACKML = "log-metric", 6
IDLE, START = 8, 15
PEAK_MB = 200
OF_THE_DATABASE = 0.6
SHORT_HISTORY = "re-sent batch of 100, history of 10,000"
LONG_HISTORY = "re-sent batch of 100, history of 200,000"
SLOWER = 1.3


class Verdict(NamedTuple):
    what: str
    aim: str
    found: str
    met: bool | None
    """None where the record does not say."""


def verdicts(record: dict[str, Any]) -> list[Verdict]:
    return [*_rates(record), *_servers(record), *_writes(record), _history(record)]


def rate(rounds: Sequence[Any]) -> float:
    """The mean rate of the rounds; 0 where there is none."""
    rates = [one["rate"] for one in rounds if not isinstance(one, str)]
    return mean(rates) if rates else 0.0


def rate_of(record: dict[str, Any], load: str, server: str) -> float:
    return rate(record["loads"].get(load, {}).get(server, ()))


def peak_mb(record: dict[str, Any], server: str) -> float:
    """The most memory (summed PSS) over all loads and the transfers; 0 where none was measured."""
    rounds = [
        one for servers in record["loads"].values() for one in servers.get(server, ()) if not isinstance(one, str)
    ]
    transfer = record.get("transfer", {}).get(server)
    rounds += [transfer] if isinstance(transfer, dict) else []
    return max((one["peak_mb"] for one in rounds), default=0.0)


def _rates(record: dict[str, Any]) -> Iterator[Verdict]:
    for load, aim in RATIOS.items():
        yield _ratio(load, aim, rate_of(record, load, RAILTRACK), rate_of(record, load, IN_THE_GUIDES_SHAPE))
        if load == LOG_METRIC:
            ours, theirs = rate_of(record, load, RAILTRACK), rate_of(record, load, FASTTRACKML)
            yield _ratio(f"{load}, beside FastTrackML", BESIDE_FASTTRACKML, ours, theirs)


def _ratio(what: str, aim: float, more: float, less: float) -> Verdict:
    """`more` is to be at least `aim` times `less`; what was not measured is 0."""
    if not more or not less:
        return Verdict(what, f"at least {aim:g}x", "-", None)
    return Verdict(what, f"at least {aim:g}x", f"{more / less:.1f}x", more / less >= aim)


def _servers(record: dict[str, Any]) -> Iterator[Verdict]:
    ours, theirs = (record["servers"].get(name, {}) for name in (RAILTRACK, IN_THE_GUIDES_SHAPE))
    for kind in ("new", "existing"):
        times = [one.get("start_s", {}).get(kind, 0.0) for one in (theirs, ours)]
        yield _part(f"start, {kind} database", START, *times)
    yield _part("idle memory, summed PSS", IDLE, theirs.get("idle_mb", 0.0), ours.get("idle_mb", 0.0))
    peak = peak_mb(record, RAILTRACK)
    found = f"{peak:.0f} MB" if peak else "-"
    yield Verdict("peak memory over all loads, summed PSS", f"{PEAK_MB} MB", found, peak <= PEAK_MB if peak else None)


def _part(what: str, aim: int, theirs: float, ours: float) -> Verdict:
    found = _ratio(what, aim, theirs, ours)
    return found._replace(aim=f"1/{aim}", found=f"1/{theirs / ours:.1f}" if found.met is not None else "-")


def _writes(record: dict[str, Any]) -> Iterator[Verdict]:
    """The writes by the part they reach: of the database's rate at one request a transaction, and at groups of them."""
    for kind, told in (("one", "one request a transaction"), ("group", "as many as the server had in one")):
        parts = {
            load: rate_of(record, load, RAILTRACK) / rates[kind]
            for load, rates in record["alone"].items()
            if rates.get("size") and rates.get(kind)
        }
        what, aim = f"writes beside the database alone, {told}", f"at least {OF_THE_DATABASE:.0%}"
        if not parts:
            yield Verdict(what, aim, "-", None)
            continue
        least, most = min(parts, key=parts.__getitem__), max(parts, key=parts.__getitem__)
        found = f"{parts[least]:.0%} ({least}) to {parts[most]:.0%} ({most})"
        yield Verdict(what, aim, found, parts[least] >= OF_THE_DATABASE)


def _history(record: dict[str, Any]) -> Verdict:
    short, long = (rate_of(record, load, RAILTRACK) for load in (SHORT_HISTORY, LONG_HISTORY))
    what, aim = "re-sent batches, history of 200,000 beside 10,000", f"at most {SLOWER:g}x slower"
    if not short or not long:
        return Verdict(what, aim, "-", None)
    return Verdict(what, aim, f"{short / long:.2f}x", short / long <= SLOWER)
