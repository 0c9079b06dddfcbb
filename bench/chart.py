"""Draws the rates of a results file, each as a multiple of MLflow's; run by an interpreter that has matplotlib.

python bench/chart.py RESULTS.json CHART.png
"""

import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

MLFLOW = "MLflow, 2 workers of 4 threads"
COLOURS = {"Railtrack": "#1b7f5c", "FastTrackML": "#d9a441", "MLflow, as it comes": "#9db4c0", MLFLOW: "#5c6b73"}


def main(results: str, chart: str) -> None:
    loads = json.loads(Path(results).read_text())["loads"]
    rates = {load: {name: rate(rounds) for name, rounds in figures.items()} for load, figures in loads.items()}
    compared = {load: row for load, row in rates.items() if row.get(MLFLOW)}
    names = [name for name in COLOURS if any(name in row for row in compared.values())]
    figure, axes = plt.subplots(figsize=(9, 0.55 * len(compared) + 1.2))
    for place, name in enumerate(names):
        heights = [at - 0.4 + 0.8 * (place + 0.5) / len(names) for at in range(len(compared))]
        widths = [row.get(name, 0) / row[MLFLOW] for row in compared.values()]
        bars = axes.barh(heights, widths, 0.8 / len(names), color=COLOURS[name], label=name)
        axes.bar_label(bars, [f"{width:.1f}x" if width else "" for width in widths], padding=2, fontsize=6)
    axes.set_yticks(range(len(compared)), list(compared), fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("answers a second, as a multiple of MLflow's (2 workers of 4 threads), on a logarithmic scale")
    axes.legend(fontsize=7, loc="lower right")
    figure.tight_layout()
    figure.savefig(chart, dpi=140)


def rate(rounds: list[Any]) -> float:
    rates = [one["rate"] for one in rounds if not isinstance(one, str)]
    return mean(rates) if rates else 0.0


main(*sys.argv[1:])
