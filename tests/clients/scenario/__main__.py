"""Run every step against MLFLOW_TRACKING_URI and print one JSON object: client, passed, left_out, failed.

Usage: python -m scenario [part of a step's name ...]
"""

from __future__ import annotations

import json
import sys
import time
import traceback

import mlflow

from scenario import artifacts, datasets, experiments, metrics, models, params, runs, search, webhooks
from scenario.registry import STEPS, VERSION

_MODULES = (experiments, runs, params, metrics, artifacts, datasets, search, models, webhooks)


def main(wanted: list[str]) -> int:
    passed: dict[str, float] = {}
    failed: dict[str, str] = {}
    left_out: list[str] = []
    for step in STEPS:
        if wanted and not any(part in step.name for part in wanted):
            continue
        if step.since > VERSION:
            left_out.append(step.name)
            continue
        began = time.monotonic()
        try:
            step.run()
        except Exception:
            failed[step.name] = traceback.format_exc()
        else:
            passed[step.name] = round(time.monotonic() - began, 2)
        while mlflow.active_run():
            mlflow.end_run()
    report = {"client": mlflow.__version__, "passed": passed, "left_out": left_out, "failed": failed}
    print(json.dumps(report, ensure_ascii=False))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
