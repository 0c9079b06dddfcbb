"""The page shows what each attack did to the server and the honest client, and which aims it missed."""

import time
from typing import Any

import pytest
from bench.honest import HEALTH, HonestClient, Try, summary
from bench.hostile_report import markdown, missed
from bench.servers import GUIDE_CONFIGURATION, RAILTRACK

from bench import hostile


def one(**more: Any) -> dict[str, Any]:
    """Return the record of an attack that meets all aims, apart from `more`."""
    honest = {"requests": 1200, "failed": {}, "p50_s": 0.01, "p99_s": 0.5, "max_s": 0.9, "slowest_s": {HEALTH: 0.02}}
    counters = {"peak_open": 150, "opened": 160, "not_connected": 0, "closed_by_server": 10}
    sizes = {"sent_mb": 1.0, "received_mb": 0.0, "peak_unread_mb": 2.5}
    return {
        "workers_killed": 0,
        "oom_kills": 0,
        "peak_mb": 120.0,
        "cgroup_peak_mb": 130.0,
        "honest": honest | more.pop("honest", {}),
        "normal_after_s": 0.0,
        "attack": {**counters, **sizes, "responses": {"200": 3, "429": 4}},
        **more,
    }


def record(**attacks: dict[str, Any]) -> dict[str, Any]:
    machine = {"date": "2026-01-02T03:04+00:00", "processors": 2, "memory_gb": 4, "model": "Model", "kernel": "6.1"}
    machine |= {"python": "3.11.2", "load_before": 0.1, "commit": "abc1234"}
    return {"machine": machine, "version": "0.1.0", "seconds": 60, "memory_mb": 512, "attacks": attacks}


def columns(text: str, section: str, name: str) -> list[str]:
    [part] = [part for part in text.split("\n## ") if part.startswith(section)]
    [line] = [line for line in part.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


@pytest.mark.parametrize(
    ("more", "aim"),
    [
        ({"workers_killed": 1}, "killed"),
        ({"oom_kills": 1}, "killed"),
        ({"peak_mb": 301.0}, "memory"),
        ({"honest": {"failed": {"log-metric: 429": 1}}}, "failed"),
        ({"honest": {"p99_s": 2.0}}, "p99"),
        ({"normal_after_s": None}, "recovery"),
    ],
)
def test_each_aim_can_be_missed(more: dict[str, Any], aim: str) -> None:
    assert missed(one()) == []
    assert missed(one(**more)) == [aim]


def test_a_server_that_did_not_start_missed_its_aims() -> None:
    gone = {"failed": "the server did not start", "oom_kills": 4, "cgroup_peak_mb": 512.0}
    text = markdown({GUIDE_CONFIGURATION: record(unread=gone)})
    assert columns(text, GUIDE_CONFIGURATION, "unread")[2:5] == ["4", "-", "512 MB"]
    assert missed(gone) == ["start"]
    assert f"{GUIDE_CONFIGURATION} met all aims in 0 of 1 attacks." in text


def test_the_page_shows_the_attack_and_its_effect() -> None:
    bad = one(workers_killed=2, honest={"failed": {"log-metric: 429": 3, "get-run: 503": 1}}, normal_after_s=None)
    text = markdown({RAILTRACK: record(unread=bad, none=one() | {"attack": {}})})
    assert "met all aims in 1 of 2 attacks" in text
    assert columns(text, f"{RAILTRACK} 0.1.0", "unread")[1:8] == ["2", "0", "120 MB", "130 MB", "1,200", "4", "10 ms"]
    assert columns(text, f"{RAILTRACK} 0.1.0", "unread")[-2:] == ["never", "missed: killed, failed, recovery"]
    assert columns(text, f"{RAILTRACK} 0.1.0", "none")[-1] == "met"
    assert columns(text, f"Attacks on {RAILTRACK}", "unread")[2:] == [
        "150", "160", "0", "10", "1.0 MB", "0.0 MB", "2.5 MB", "3 x 200, 4 x 429"
    ]  # fmt: skip


def test_the_summary_counts_failures_by_kind_and_outcome() -> None:
    tries = [Try("get-run", at, 0.01, "ok") for at in range(98)]
    tries += [Try(HEALTH, 98, 0.5, "503"), Try("get-run", 99, 3, "TimeoutError")]
    found = summary(tries)
    assert (found.requests, found.p50_s, found.p99_s, found.max_s, found.slowest_s[HEALTH]) == (100, 0.01, 3, 3, 0.5)
    assert found.failed == {f"{HEALTH}: 503": 1, "get-run: TimeoutError": 1}


def test_recovery_lasts_until_the_last_response_that_is_not_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostile, "QUIET_S", 0.0)
    after = time.monotonic() - 10
    client = HonestClient("http://127.0.0.1:1")
    client.tries = [Try("get-run", after - 1, 3, "ok"), Try("get-run", after + 3, 0.5, "ok")]
    assert hostile.recovery_s(client, after) == pytest.approx(2)
    client.tries.append(Try("get-run", after + 5, 0.5, "503"))
    assert hostile.recovery_s(client, after) == pytest.approx(5.5)
    client.tries = []
    assert hostile.recovery_s(client, after) == 0
