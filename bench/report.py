"""Format a record as Markdown: targets, rates, costs, memory, growth. Measures nothing."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from bench.access import OPEN
from bench.servers import FASTTRACKML, GUIDE_CONFIGURATION, RAILTRACK
from bench.targets import access_part, peak_mb, rate, verdicts

MET = {True: "met", False: "**not met**", None: "not measured"}


def markdown(found: dict[str, Any]) -> str:
    parts = [_heading(found), _targets(found), _servers(found)]
    if found["loads"]:
        parts += [_rates(found), _costs(found), _alone(found)]
    if "transfer" in found:
        parts.append(_transfers(found["transfer"]))
    if "bounded" in found:
        parts.append(_bounded(found["bounded"]))
    parts += [_growth(found[kind], kind) for kind in ("runs", "connections") if found.get(kind)]
    if "access" in found:
        parts.append(_access(found["access"]))
    if found["errors"]:
        parts.append("## Not measured\n\n" + "\n".join(f"- {name}: {text}" for name, text in found["errors"].items()))
    return "\n\n".join(parts) + "\n"


def _heading(found: dict[str, Any]) -> str:
    machine = found["machine"]
    text = (
        f"<!-- Written by `make bench`. -->\n\n# Benchmark of {machine['date'][:10]}\n\n"
        f"{machine['processors']} processors ({machine['model']}), {machine['memory_gb']} GB, "
        f"Linux {machine['kernel']}, Python {machine['python']}, PostgreSQL 18 with durable commits. The servers, "
        "PostgreSQL and the load generator (wrk) share the machine and take turns. "
        "[Method](../../docs/performance.md#method).\n"
    )
    for one in found["measured"]:
        text += f"\n- {one['date']}: Railtrack at {one['commit']}, load before the run {one['load_before']:.2f}"
    return text


def _targets(found: dict[str, Any]) -> str:
    rows = [[one.what, one.aim, one.found, MET[one.met]] for one in verdicts(found)]
    return f"## Targets\n\nCompared with {GUIDE_CONFIGURATION}, unless stated otherwise.\n\n" + table(
        ["what", "target", "measured", ""], rows
    )


def _servers(found: dict[str, Any]) -> str:
    rows = [
        [
            name,
            one.get("version", "-"),
            *(_unit(one.get("start_s", {}).get(kind), "s", 2) for kind in ("new", "existing")),
            _unit(one.get("idle_mb"), "MB"),
            _unit(peak_mb(found, name) or None, "MB"),
        ]
        for name, one in found["servers"].items()
    ]
    heads = ["server", "version", "start, new database", "start, existing database", "idle", "peak of all loads"]
    explained = "Start: time to the first healthy response. Memory: sum of PSS."
    return f"## Start and memory\n\n{explained}\n\n" + table(heads, rows)


def _unit(number: float | None, unit: str, digits: int = 0) -> str:
    return "-" if number is None else f"{number:.{digits}f} {unit}"


def _rates(found: dict[str, Any]) -> str:
    names = list(found["servers"])
    rows = []
    for load, figures in found["loads"].items():
        ours = rate(figures.get(RAILTRACK, ()))
        others = [rate(figures.get(name, ())) for name in (GUIDE_CONFIGURATION, FASTTRACKML)]
        times = [f"{ours / theirs:.1f}x" if ours and theirs else "-" for theirs in others]
        rows.append([load, *(_cell(figures.get(name, ())) for name in names), *times])
    return (
        "## Responses per second\n\nOnly 2xx count; `web page` counts whole sequences of requests. Rejected, lost and "
        "late requests are shown next to the rate. `-`: the server lacks the endpoint or rejects the request.\n\n"
        + table(["load", *names, "times MLflow", "times FastTrackML"], rows)
    )


def _cell(rounds: Sequence[Any]) -> str:
    figures = [one for one in rounds if not isinstance(one, str)]
    if not figures:
        return f"- ({rounds[0]})" if rounds else "-"
    failures = {what: sum(one[what] for one in figures) for what in ("rejected", "lost", "timeouts")}
    failed = ", ".join(f"**{count:,} {what}**" for what, count in failures.items() if count)
    answered = rate(figures)
    text = short(answered) if answered else f"- (none in {max(one['seconds'] for one in figures):.0f} s)"
    return f"{text}, {failed}" if failed else text


def _costs(found: dict[str, Any]) -> str:
    names = list(found["servers"])
    rows = [[load, *(_cost(figures.get(name, ())) for name in names)] for load, figures in found["loads"].items()]
    return (
        "## Cost\n\nCPU seconds per 1,000 responses, server + PostgreSQL; median and 99th percentile of the response "
        "time; peak memory of the server.\n\n" + table(["load", *names], rows)
    )


def _cost(rounds: Sequence[Any]) -> str:
    figures = [one for one in rounds if not isinstance(one, str) and one["ok"]]
    if not figures:
        return "-"
    mid = {what: mean(one[what] for one in figures) for what in ("cpu_s", "database_cpu_s", "p50_ms", "p99_ms")}
    peak = max(one["peak_mb"] for one in figures)
    return (
        f"{short(mid['cpu_s'])} + {short(mid['database_cpu_s'])} s; {short(mid['p50_ms'])}, {short(mid['p99_ms'])} ms; "
        f"{peak:.0f} MB"
    )


def _alone(found: dict[str, Any]) -> str:
    rows = []
    for load, rates in found["alone"].items():
        ours, size = rate(found["loads"][load].get(RAILTRACK, ())), rates["size"]
        values = [short(rates[kind]) if kind in rates else "-" for kind in ("one", "group")]
        parts = [f"{ours / rates[kind]:.0%}" if kind in rates else "-" for kind in ("one", "group")]
        compared = [values[0], parts[0], str(size) if size else "-", values[1], parts[1]]
        rows.append([load, short(ours), *compared, rates.get("failed", "")])
    heads = ["load", "Railtrack", "single", "Railtrack / single", "group size", "grouped", "Railtrack / grouped", ""]
    explained = (
        "pgbench replays the statements that Railtrack sends, prepared once per connection and with the same settings. "
        "`single`: one request per transaction, on as many connections as the load. `grouped`, for writes: one group "
        "of requests per transaction, as large as Railtrack's groups were on average, on connections for the same "
        "number of concurrent requests. Nothing parses HTTP or JSON meanwhile, and the database has the whole machine. "
        "More than 100 % of `single` is what group commit gains."
    )
    return f"## PostgreSQL alone\n\nRequests per second. {explained}\n\n" + table(heads, rows)


def _transfers(transfers: dict[str, Any]) -> str:
    rows = [[name, *_transfer(done)] for name, done in transfers.items()]
    heads = ["server", "upload", "download", "time to first byte", "peak memory", "peak disk besides the file"]
    return "## 1 GB through the server\n\n" + table(heads, rows)


def _transfer(done: dict[str, float] | str) -> list[str]:
    if isinstance(done, str):
        return [f"- ({done[:120]})", "", "", "", ""]
    return [
        f"{done['up']:.0f} MB/s",
        f"{done['down']:.0f} MB/s",
        f"{done['first_byte_s'] * 1000:.0f} ms",
        f"{done['peak_mb']:.0f} MB",
        f"{done['disk_mb']:.0f} MB",
    ]


def _bounded(found: dict[str, Any]) -> str:
    rows = []
    for name, seen in found.items():
        if isinstance(seen, str):
            rows.append([name, f"- ({seen})", "", "", "", ""])
            continue
        failures = [f"{load}: {text}" for load, text in seen["failed"].items()]
        if untried := seen.get("untried"):
            failures.append(f"not run, time was up: {len(untried)} loads")
        failed = "; ".join(failures).replace("|", "/") or "none"
        values = [_unit(seen.get(kind), "MB") for kind in ("peak_mb", "peak_with_files_mb")]
        rows.append([name, _unit(seen["start_s"], "s", 2), *values, str(seen["killed"]), failed])
    heads = ["server", "start", "cgroup peak, loads", "cgroup peak, with 1 GB", "killed by the kernel", "failures"]
    return (
        "## In 512 MB\n\nA memory cgroup of 512 MB without swap, on the same data: every load for a second, then 1 GB "
        "up and down. The peak includes page cache, which the kernel drops on demand.\n\n" + table(heads, rows)
    )


def _growth(grown: dict[str, Any], kind: str) -> str:
    """Return a table with one row per load and server, and one column per size."""
    sizes = list(grown)
    rows = [
        [f"{load}: {name}", *(_cell(grown[size]["loads"].get(load, {}).get(name, ())) for size in sizes)]
        for load, figures in grown[sizes[0]]["loads"].items()
        for name in figures
    ]
    for key, what, unit in (("start_s", "start", "s"), ("idle_mb", "idle memory", "MB")):
        for name in grown[sizes[0]].get(key, {}):
            values = [_unit(grown[size][key].get(name), unit, 2 if unit == "s" else 0) for size in sizes]
            rows.append([f"{what}: {name}", *values])
    return f"## With more {kind}\n\nResponses per second.\n\n" + table(
        [kind, *(f"{int(size):,}" for size in sizes)], rows
    )


def _access(found: dict[str, Any]) -> str:
    rows = []
    for load, figures in found.items():
        for name, rounds in figures.items():
            values = [short(mean(one["rate"] for one in rounds)), short(mean(one["cpu_ms"] for one in rounds))]
            parts = ["-", "-"] if name == OPEN else [f"{access_part(figures, name, kind):.0%}" for kind in rounds[0]]
            rows.append([load, name, *values, *parts])
    heads = ["load", "caller", "responses per second", "CPU, ms each", "rate / open", "CPU / open"]
    explained = (
        "The same requests to a server without login and to one with it, on one database, in turns. The trainer "
        "(token, password) may edit 2 of 500 experiments, the reader read 1. `/ open`: median ratio of the rounds."
    )
    return f"## With login\n\n{explained}\n\n" + table(heads, rows)


def short(number: float) -> str:
    """Return the number with three digits and without an exponent."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
