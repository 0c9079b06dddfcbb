"""The record as Markdown: what was aimed at, rates, what they cost, memory, growth. Measures nothing."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from bench.servers import FASTTRACKML, IN_THE_GUIDES_SHAPE, RAILTRACK
from bench.targets import peak_mb, rate, verdicts

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
    if found["errors"]:
        parts.append("## Not measured\n\n" + "\n".join(f"- {name}: {text}" for name, text in found["errors"].items()))
    return "\n\n".join(parts) + "\n"


def _heading(found: dict[str, Any]) -> str:
    machine = found["machine"]
    text = (
        f"<!-- Written by `make bench`. -->\n\n# Benchmark of {machine['date'][:10]}\n\n"
        f"{machine['processors']} processors ({machine['model']}), {machine['memory_gb']} GB, "
        f"Linux {machine['kernel']}, Python {machine['python']}, PostgreSQL 18 with durable commits. The servers, "
        "PostgreSQL and the generator (wrk) share the machine and are measured in turns. "
        "[How it is measured](../../docs/performance.md#tracking).\n"
    )
    for one in found["measured"]:
        text += (
            f"\n- {one['date']}: Railtrack at {one['commit']}, load of the machine before it {one['load_before']:.2f}"
        )
    return text


def _targets(found: dict[str, Any]) -> str:
    rows = [[one.what, one.aim, one.found, MET[one.met]] for one in verdicts(found)]
    return f"## Aims\n\nBeside {IN_THE_GUIDES_SHAPE}, where nothing else is said.\n\n" + table(
        ["what", "aim", "found", ""], rows
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
    heads = ["server", "version", "start, new database", "start, existing database", "idle", "peak over all loads"]
    return "## Start and memory\n\nTo the first healthy answer; memory is the sum of PSS.\n\n" + table(heads, rows)


def _unit(number: float | None, unit: str, digits: int = 0) -> str:
    return "-" if number is None else f"{number:.{digits}f} {unit}"


def _rates(found: dict[str, Any]) -> str:
    names = list(found["servers"])
    rows = []
    for load, figures in found["loads"].items():
        ours = rate(figures.get(RAILTRACK, ()))
        others = [rate(figures.get(name, ())) for name in (IN_THE_GUIDES_SHAPE, FASTTRACKML)]
        times = [f"{ours / theirs:.1f}x" if ours and theirs else "-" for theirs in others]
        rows.append([load, *(_cell(figures.get(name, ())) for name in names), *times])
    return (
        "## Answers a second\n\nOnly 2xx are counted, of `web page` whole sequences of requests. Whatever was "
        "refused, lost or late is told beside the rate; `-`: it is not served, or not accepted.\n\n"
        + table(["load", *names, "beside MLflow", "beside FastTrackML"], rows)
    )


def _cell(rounds: Sequence[Any]) -> str:
    figures = [one for one in rounds if not isinstance(one, str)]
    if not figures:
        return f"- ({rounds[0]})" if rounds else "-"
    failures = {what: sum(one[what] for one in figures) for what in ("refused", "lost", "timeouts")}
    told = ", ".join(f"**{count:,} {what}**" for what, count in failures.items() if count)
    answered = rate(figures)
    text = short(answered) if answered else f"- (none in {max(one['seconds'] for one in figures):.0f} s)"
    return f"{text}, {told}" if told else text


def _costs(found: dict[str, Any]) -> str:
    names = list(found["servers"])
    rows = [[load, *(_cost(figures.get(name, ())) for name in names)] for load, figures in found["loads"].items()]
    return (
        "## What they cost\n\nProcessor seconds for 1,000 answers, of the server + of PostgreSQL; the median and the "
        "99th percentile of the time to answer; the server's peak of memory.\n\n" + table(["load", *names], rows)
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
        cells = [short(rates[kind]) if kind in rates else "-" for kind in ("one", "group")]
        parts = [f"{ours / rates[kind]:.0%}" if kind in rates else "-" for kind in ("one", "group")]
        told = [cells[0], parts[0], str(size) if size else "-", cells[1], parts[1]]
        rows.append([load, short(ours), *told, rates.get("failed", "")])
    heads = ["load", "Railtrack", "one a transaction", "Railtrack's part", "group", "in groups", "Railtrack's part", ""]
    explained = (
        "pgbench sends the statements that Railtrack sends, prepared once a connection and with the same settings: "
        "first those of one request as a transaction of its own, on as many connections as the load has; then, for "
        "writes, those of a group of requests as one transaction, the group as large as Railtrack's were on "
        "average during the load, on so many connections that as many requests are under way. Nobody parses HTTP "
        "or JSON meanwhile, and the whole machine is the database's. A part above 100 % of the first is what "
        "writing in groups gains."
    )
    return f"## What PostgreSQL does alone\n\nRequests a second. {explained}\n\n" + table(heads, rows)


def _transfers(transfers: dict[str, Any]) -> str:
    rows = [[name, *_transfer(done)] for name, done in transfers.items()]
    heads = ["server", "up", "down", "to the first byte", "memory, peak", "disk besides the file, peak"]
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
            failures.append(f"not tried, for want of time: {len(untried)} loads")
        failed = "; ".join(failures).replace("|", "/") or "none"
        cells = [_unit(seen.get(kind), "MB") for kind in ("peak_mb", "peak_with_files_mb")]
        rows.append([name, _unit(seen["start_s"], "s", 2), *cells, str(seen["killed"]), failed])
    heads = ["server", "start", "cgroup's peak, loads", "cgroup's peak, 1 GB too", "killed by the kernel", "failures"]
    return (
        "## In 512 MB\n\nA memory cgroup of 512 MB without swap, on the same data: every load for a second, then 1 GB "
        "up and down, whose pages in the cache count until the kernel wants them back.\n\n" + table(heads, rows)
    )


def _growth(grown: dict[str, Any], kind: str) -> str:
    """A row a load and server, a column a size."""
    sizes = list(grown)
    rows = [
        [f"{load}: {name}", *(_cell(grown[size]["loads"].get(load, {}).get(name, ())) for size in sizes)]
        for load, figures in grown[sizes[0]]["loads"].items()
        for name in figures
    ]
    for key, what, unit in (("start_s", "start", "s"), ("idle_mb", "idle memory", "MB")):
        for name in grown[sizes[0]].get(key, {}):
            cells = [_unit(grown[size][key].get(name), unit, 2 if unit == "s" else 0) for size in sizes]
            rows.append([f"{what}: {name}", *cells])
    return f"## With more {kind}\n\nAnswers a second.\n\n" + table([kind, *(f"{int(size):,}" for size in sizes)], rows)


def short(number: float) -> str:
    """Three digits, and never an exponent."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
