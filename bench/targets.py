"""Railtrack's performance targets, and whether a record meets them. Measures nothing."""

from collections.abc import Iterator, Sequence
from statistics import mean, median
from typing import Any, NamedTuple

from bench.access import GET, OPEN, PASSWORD, READER, SEARCH, TOKEN, WRITE
from bench.servers import FASTTRACKML, GUIDE_CONFIGURATION, RAILTRACK

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
"""Load -> minimum ratio to MLflow's rate."""
LOG_METRIC, BESIDE_FASTTRACKML = "log-metric", 6
IDLE, START = 8, 15
PEAK_MB = 200
OF_THE_DATABASE = 0.6
SHORT_HISTORY = "re-sent batch of 100, history of 10,000"
LONG_HISTORY = "re-sent batch of 100, history of 200,000"
SLOWER = 1.3
WITH_LOGIN = {
    (WRITE, TOKEN): 0.95,
    (WRITE, PASSWORD): 0.9,
    (GET, TOKEN): 0.95,
    (GET, PASSWORD): 0.9,
    (SEARCH, READER): 1 / 1.2,
}
"""Load and caller -> minimum part of the open server's rate."""


class Verdict(NamedTuple):
    what: str
    aim: str
    found: str
    met: bool | None
    """None if the record lacks the figures."""


def verdicts(record: dict[str, Any]) -> list[Verdict]:
    return [*_rates(record), *_servers(record), *_writes(record), _history(record), *_access(record)]


def rate(rounds: Sequence[Any]) -> float:
    """Return the mean rate of the rounds, or 0 without any."""
    rates = [one["rate"] for one in rounds if not isinstance(one, str)]
    return mean(rates) if rates else 0.0


def rate_of(record: dict[str, Any], load: str, server: str) -> float:
    return rate(record["loads"].get(load, {}).get(server, ()))


def peak_mb(record: dict[str, Any], server: str) -> float:
    """Return the peak memory (sum of PSS) of all loads and transfers, or 0 if none was measured."""
    rounds = [
        one for servers in record["loads"].values() for one in servers.get(server, ()) if not isinstance(one, str)
    ]
    transfer = record.get("transfer", {}).get(server)
    rounds += [transfer] if isinstance(transfer, dict) else []
    return max((one["peak_mb"] for one in rounds), default=0.0)


def _rates(record: dict[str, Any]) -> Iterator[Verdict]:
    for load, aim in RATIOS.items():
        yield _ratio(load, aim, rate_of(record, load, RAILTRACK), rate_of(record, load, GUIDE_CONFIGURATION))
        if load == LOG_METRIC:
            ours, theirs = rate_of(record, load, RAILTRACK), rate_of(record, load, FASTTRACKML)
            yield _ratio(f"{load}, compared with FastTrackML", BESIDE_FASTTRACKML, ours, theirs)


def _ratio(what: str, aim: float, more: float, less: float) -> Verdict:
    """Check that `more` is at least `aim` times `less`. 0 means not measured."""
    if not more or not less:
        return Verdict(what, f"at least {aim:g}x", "-", None)
    return Verdict(what, f"at least {aim:g}x", f"{more / less:.1f}x", more / less >= aim)


def _servers(record: dict[str, Any]) -> Iterator[Verdict]:
    ours, theirs = (record["servers"].get(name, {}) for name in (RAILTRACK, GUIDE_CONFIGURATION))
    for kind in ("new", "existing"):
        times = [one.get("start_s", {}).get(kind, 0.0) for one in (theirs, ours)]
        yield _part(f"start, {kind} database", START, *times)
    yield _part("idle memory, sum of PSS", IDLE, theirs.get("idle_mb", 0.0), ours.get("idle_mb", 0.0))
    peak = peak_mb(record, RAILTRACK)
    found = f"{peak:.0f} MB" if peak else "-"
    yield Verdict("peak memory of all loads, sum of PSS", f"{PEAK_MB} MB", found, peak <= PEAK_MB if peak else None)


def _part(what: str, aim: int, theirs: float, ours: float) -> Verdict:
    found = _ratio(what, aim, theirs, ours)
    return found._replace(aim=f"1/{aim}", found=f"1/{theirs / ours:.1f}" if found.met is not None else "-")


def _writes(record: dict[str, Any]) -> Iterator[Verdict]:
    """Compare writes with the database's rates, single and grouped."""
    for kind, meaning in (("one", "one request per transaction"), ("group", "groups as large as the server's")):
        parts = {
            load: rate_of(record, load, RAILTRACK) / rates[kind]
            for load, rates in record["alone"].items()
            if rates.get("size") and rates.get(kind)
        }
        what, aim = f"writes compared with PostgreSQL alone, {meaning}", f"at least {OF_THE_DATABASE:.0%}"
        if not parts:
            yield Verdict(what, aim, "-", None)
            continue
        least, most = min(parts, key=parts.__getitem__), max(parts, key=parts.__getitem__)
        found = f"{parts[least]:.0%} ({least}) to {parts[most]:.0%} ({most})"
        yield Verdict(what, aim, found, parts[least] >= OF_THE_DATABASE)


def _history(record: dict[str, Any]) -> Verdict:
    short, long = (rate_of(record, load, RAILTRACK) for load in (SHORT_HISTORY, LONG_HISTORY))
    what, aim = "re-sent batches, history of 200,000 compared with 10,000", f"at most {SLOWER:g}x slower"
    if not short or not long:
        return Verdict(what, aim, "-", None)
    return Verdict(what, aim, f"{short / long:.2f}x", short / long <= SLOWER)


def access_part(rounds: dict[str, Any], caller: str, kind: str = "rate") -> float:
    """Return the caller's figure as a part of the open server's: the median of the rounds' ratios."""
    return float(median(one[kind] / open_one[kind] for one, open_one in zip(rounds[caller], rounds[OPEN], strict=True)))


def _access(record: dict[str, Any]) -> Iterator[Verdict]:
    for (load, caller), aim in WITH_LOGIN.items():
        rounds = record.get("access", {}).get(load)
        part = access_part(rounds, caller) if rounds else None
        what, wanted = f"{load} with login, {caller}, compared with the open server", f"at least {aim:.0%}"
        yield Verdict(what, wanted, f"{part:.0%}" if part else "-", part >= aim if part else None)
