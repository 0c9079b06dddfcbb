"""Draw a record's main figures, each in its own field with an axis from zero. The interpreter needs matplotlib.

python bench/chart.py RESULTS.json CHART.png
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

Record = dict[str, Any]
MLFLOW = "MLflow, 2 workers of 4 threads"
SERVERS = {
    "Railtrack": ("Railtrack", "#0f766e"),
    MLFLOW: ("MLflow", "#94a3b8"),
    "FastTrackML": ("FastTrackML", "#d6b370"),
}
"""Name in the record -> name and colour in the chart."""
INK, FAINT = "#1e293b", "#64748b"


class Field(NamedTuple):
    title: str
    unit: str
    value: Callable[[Record, str], float | None]
    """The server's figure in the record, or None."""
    load: str = ""


def rate(title: str, load: str) -> Field:
    def value(record: Record, server: str) -> float | None:
        rates = [one["rate"] for one in figures(record, load, server)]
        return mean(rates) if rates and mean(rates) > 0 else None

    return Field(title, "/s", value, load)


def figures(record: Record, load: str, server: str) -> list[dict[str, Any]]:
    return [one for one in record["loads"].get(load, {}).get(server, ()) if not isinstance(one, str)]


def failed(record: Record, load: str, server: str) -> int:
    return sum(one["rejected"] + one["lost"] + one["timeouts"] for one in figures(record, load, server))


def start(record: Record, server: str) -> float | None:
    times: dict[str, float] = record["servers"].get(server, {}).get("start_s", {})
    return times.get("existing")


def idle(record: Record, server: str) -> float | None:
    found: float | None = record["servers"].get(server, {}).get("idle_mb")
    return found


def peak(record: Record, server: str) -> float | None:
    return max((one["peak_mb"] for load in record["loads"] for one in figures(record, load, server)), default=None)


FIELDS = {
    "Responses per second: more is better": (
        rate("log-metric", "log-metric"),
        rate("log-batch of 100 metrics", "log-batch of 100 metrics"),
        rate("create-run", "create-run"),
        rate("get-run", "get-run, 20 metrics"),
        rate("search: 100 of 23,525 runs by a metric", "search, page of 100, filter and metric order"),
        rate("get-history of 20,000 points", "get-history, 20,000 points"),
    ),
    "Memory and start: less is better": (
        Field("idle memory", " MB", idle),
        Field("peak memory of all loads", " MB", peak),
        Field("start on an existing database", " s", start),
    ),
}
COLUMNS = 3


def main(results: str, chart: str) -> None:
    record = json.loads(Path(results).read_text())
    plt.rcParams.update({"font.family": "sans-serif", "font.size": 9, "text.color": INK})
    figure = plt.figure(figsize=(10, 5.6), layout="constrained")
    figure.get_layout_engine().set(hspace=0.06, wspace=0.06, w_pad=0.08, h_pad=0.06)
    bands = figure.subfigures(len(FIELDS), 1, height_ratios=[len(fields) // COLUMNS for fields in FIELDS.values()])
    for band, (title, fields) in zip(bands, FIELDS.items(), strict=True):
        band.suptitle(title, x=0.012, ha="left", fontsize=11, fontweight="bold", color=INK)
        axes = band.subplots(len(fields) // COLUMNS, COLUMNS).flat
        for number, (field, subplot) in enumerate(zip(fields, axes, strict=True)):
            draw(subplot, field, record, named=number % COLUMNS == 0)
    machine = record["machine"]
    caption = (
        f"{machine['processors']} processors ({machine['model']}) shared with PostgreSQL 18 and the load generator, "
        f"{machine['date'][:10]}. MLflow 3.17.2 with 2 workers of 4 threads. Each axis is linear from zero."
    )
    figure.supxlabel(caption, fontsize=8, color=FAINT, x=0.012, ha="left")
    figure.savefig(chart, dpi=160, facecolor="white")


def draw(axes: Any, field: Field, record: Record, *, named: bool) -> None:
    """Draw one bar per server with its figure. `named`: also draw the servers' names."""
    values = [field.value(record, server) for server in SERVERS]
    widths = [value or 0 for value in values]
    bars = axes.barh(range(len(SERVERS)), widths, 0.72, color=[colour for _, colour in SERVERS.values()])
    labels = ["-" if value is None else f"{short(value)}{field.unit}" for value in values]
    for number, server in enumerate(SERVERS):
        if count := failed(record, field.load, server):
            labels[number] += f"  ({count:,} failed)"
    texts = axes.bar_label(bars, labels, padding=4, fontsize=9, color=INK)
    texts[0].set_fontweight("bold")
    axes.set_title(field.title, loc="left", fontsize=9, color=FAINT, pad=4)
    axes.set_xlim(0, max([*widths, 1e-9]) * 1.3)
    axes.set_yticks(range(len(SERVERS)), [name if named else "" for name, _ in SERVERS.values()])
    axes.tick_params(left=False, bottom=False, labelbottom=False, labelcolor=INK)
    axes.invert_yaxis()
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color("#cbd5e1")


def short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


if __name__ == "__main__":
    main(*sys.argv[1:])
