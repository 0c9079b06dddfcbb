"""The results as Markdown: a table of rates with their ratios, and what each server takes. Measures nothing."""

from statistics import mean
from typing import Any

from bench.loads import LOADS

OURS, MLFLOW = "Railtrack", "MLflow, 2 workers of 4 threads"


def markdown(found: dict[str, Any]) -> str:
    parts = [_heading(found["machine"]), _servers(found["servers"]), _loads(found)]
    if "transfer" in found:
        parts.append(_transfer(found["transfer"]))
    if "growth" in found:
        parts += [_growth(found["growth"][kind], kind) for kind in ("runs", "connections")]
    return "\n\n".join(parts) + "\n"


def _heading(machine: dict[str, Any]) -> str:
    return (
        f"# Benchmark of {machine['date']}\n\n{machine['processors']} processors ({machine['model']}), "
        f"Linux {machine['kernel']}, Python {machine['python']}, load before it {machine['load_before']:.2f}; "
        f"Railtrack at {machine['commit']}. The servers, PostgreSQL and the generator share the machine."
    )


def _servers(servers: dict[str, Any]) -> str:
    rows = [
        [
            name,
            one["version"],
            f"{one['start_s']['new']:.1f} s",
            f"{one['start_s']['existing']:.1f} s",
            f"{one['idle_mb']:.0f} MB",
            f"{one['after_mb']:.0f} MB",
        ]
        for name, one in servers.items()
    ]
    return table(["server", "version", "start, new database", "start again", "idle", "after all loads"], rows)


def _loads(found: dict[str, Any]) -> str:
    """Rates, the ratio to MLflow in the guide's shape, and the part of what the database does alone."""
    names = list(found["servers"])
    limits = found.get("limits", {})
    targets = {load.name: load.target for load in LOADS}
    rows = []
    for load, figures in found["loads"].items():
        ours, theirs = rate(figures[OURS]), rate(figures[MLFLOW])
        times = f"{ours / theirs:.1f}x" if ours and theirs else "-"
        if target := targets.get(load):
            times += f" (aim: {target:g}x)"
        part = f"{ours / limits[load]:.0%}" if ours and load in limits else "-"
        rows.append([load, *(_cell(figures[name]) for name in names), times, part])
    return (
        "Answers a second, and CPU of the server and of PostgreSQL per 1,000 of them; then Railtrack's rate beside "
        f"that of {MLFLOW}, and beside what PostgreSQL does alone (pgbench, the same statements, one "
        "transaction a request).\n\n" + table(["load", *names, "ratio", "of the limit"], rows)
    )


def _cell(rounds: list[Any]) -> str:
    figures = [one for one in rounds if not isinstance(one, str)]
    if not figures:
        return str(rounds[0])
    failed = sum(one["refused"] + one["lost"] + one["timeouts"] for one in figures)
    cpu, database = mean(one["cpu_s"] for one in figures), mean(one["database_cpu_s"] for one in figures)
    text = f"{short(mean(one['rate'] for one in figures))} ({short(cpu)} s + {short(database)} s)"
    return f"{text}, **{failed} failed**" if failed else text


def rate(rounds: list[Any]) -> float:
    """The mean rate of the rounds; 0 where there is none."""
    rates = [one["rate"] for one in rounds if not isinstance(one, str)]
    return mean(rates) if rates else 0.0


def _transfer(transfers: dict[str, Any]) -> str:
    rows = [
        [name, done]
        if isinstance(done, str)
        else [
            name,
            f"{done['up']:.0f} MB/s",
            f"{done['down']:.0f} MB/s",
            f"{done['first_byte_s'] * 1000:.0f} ms",
            f"{done['peak_mb']:.0f} MB",
            f"{max(0, done['disk_mb']):.0f} MB",
        ]
        for name, done in transfers.items()
    ]
    heads = ["1 GB through the server", "up", "down", "to the first byte", "memory, peak", "disk besides the file"]
    return table(heads, [[*row, *[""] * (len(heads) - len(row))] for row in rows])


def _growth(grown: dict[str, Any], kind: str) -> str:
    """Rates as one number grows: a row a load and server, a column a size."""
    sizes = list(grown)
    rows = [
        [f"{load}: {name}", *(short(rate(grown[size][load][name])) for size in sizes)]
        for load, figures in grown[sizes[0]].items()
        for name in figures
    ]
    return f"Answers a second with more {kind}:\n\n" + table([kind, *(f"{int(size):,}" for size in sizes)], rows)


def short(number: float) -> str:
    """Three digits, and never an exponent."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
