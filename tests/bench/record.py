"""Build a small record of the benchmark in the form of bench/sections.py."""

from typing import Any

from bench.servers import FASTTRACKML, GUIDE_CONFIGURATION, RAILTRACK


def figure(rate: float, **more: Any) -> dict[str, Any]:
    """Return a measurement of one second."""
    counts = {"ok": int(rate), "rejected": 0, "lost": 0, "timeouts": 0, "seconds": 1.0, "grouped": 0.0}
    return {
        "rate": rate,
        **counts,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "cpu_s": 0.1,
        "database_cpu_s": 0.2,
        "peak_mb": 60.0,
        **more,
    }


def record() -> dict[str, Any]:
    """Return a record of two loads. log-metric per second: 100 and 200 by Railtrack, 5 by MLflow, 30 by FastTrackML."""
    return {
        "machine": {
            "date": "2026-01-02T03:04+00:00",
            "processors": 2,
            "memory_gb": 4,
            "model": "Model",
            "kernel": "6.1",
            "python": "3.11.2",
        },
        "measured": [{"date": "2026-01-02T03:04+00:00", "commit": "abc1234", "load_before": 0.1}],
        "servers": {
            RAILTRACK: {"version": "0.1.0", "start_s": {"new": 0.2, "existing": 0.1}, "idle_mb": 50.0},
            GUIDE_CONFIGURATION: {"version": "3.17.2", "start_s": {"new": 4.0, "existing": 1.0}, "idle_mb": 500.0},
            FASTTRACKML: {"version": "0.6.0", "start_s": {"new": 0.1, "existing": 0.1}, "idle_mb": 30.0},
        },
        "loads": {
            "log-metric": {
                RAILTRACK: [figure(100), figure(200, peak_mb=90.0)],
                GUIDE_CONFIGURATION: [figure(5)],
                FASTTRACKML: [figure(30, rejected=7)],
            },
            "get-history, 20,000 points": {
                RAILTRACK: [figure(40)],
                GUIDE_CONFIGURATION: [figure(0, timeouts=4)],
                FASTTRACKML: ["not served"],
            },
        },
        "access": {
            "log-metric": {
                "open": [{"rate": 100.0, "cpu_ms": 0.1}, {"rate": 50.0, "cpu_ms": 0.2}, {"rate": 10.0, "cpu_ms": 0.1}],
                "token": [{"rate": 96.0, "cpu_ms": 0.11}, {"rate": 48.0, "cpu_ms": 0.2}, {"rate": 1.0, "cpu_ms": 0.9}],
                "password": [
                    {"rate": 89.0, "cpu_ms": 0.2},
                    {"rate": 44.5, "cpu_ms": 0.4},
                    {"rate": 10.0, "cpu_ms": 0.2},
                ],
            }
        },
        "alone": {"log-metric": {"size": 4, "one": 200.0, "group": 300.0}},
        "errors": {},
        "took_s": {},
    }
