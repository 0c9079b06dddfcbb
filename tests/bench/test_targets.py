"""Check a record against the performance targets."""

from typing import Any

from bench.servers import GUIDE_CONFIGURATION, RAILTRACK
from bench.targets import LONG_HISTORY, RATIOS, SHORT_HISTORY, Verdict, peak_mb, verdicts
from tests.bench.record import figure, record


def verdict(found: dict[str, Any], what: str) -> Verdict:
    [one] = [one for one in verdicts(found) if one.what == what]
    return one


def test_ratios_compare_the_means_of_the_rounds() -> None:
    assert verdict(record(), "log-metric") == ("log-metric", "at least 25x", "30.0x", True)


def test_a_ratio_below_its_target_is_not_met() -> None:
    assert verdict(record(), "log-metric, compared with FastTrackML")[2:] == ("5.0x", False)


def test_a_load_without_responses_of_one_server_has_no_verdict() -> None:
    assert verdict(record(), "get-history, 20,000 points")[2:] == ("-", None)


def test_a_load_that_was_not_measured_has_no_verdict() -> None:
    found = [verdict(record(), load) for load in RATIOS if load not in record()["loads"]]
    assert [one.met for one in found] == [None] * 7


def test_start_and_idle_memory_are_compared_with_mlflow() -> None:
    assert verdict(record(), "start, new database")[1:] == ("1/15", "1/20.0", True)
    assert verdict(record(), "start, existing database")[2:] == ("1/10.0", False)
    assert verdict(record(), "idle memory, sum of PSS")[1:] == ("1/8", "1/10.0", True)


def test_peak_memory_includes_all_loads_and_the_transfer() -> None:
    found = record()
    assert peak_mb(found, RAILTRACK) == 90
    found["transfer"] = {RAILTRACK: {"peak_mb": 201.0}, GUIDE_CONFIGURATION: "not served"}
    assert peak_mb(found, RAILTRACK) == 201
    assert verdict(found, "peak memory of all loads, sum of PSS")[2:] == ("201 MB", False)


def test_the_verdict_of_writes_is_that_of_the_slowest_load() -> None:
    found = record()
    found["loads"]["create-run"] = {RAILTRACK: [figure(50)]}
    found["alone"]["create-run"] = {"size": 4, "one": 100.0}
    one = verdict(found, "writes compared with PostgreSQL alone, one request per transaction")
    assert one[2:] == ("50% (create-run) to 75% (log-metric)", False)
    one = verdict(found, "writes compared with PostgreSQL alone, groups as large as the server's")
    assert one[2:] == ("50% (log-metric) to 50% (log-metric)", False)


def test_reads_do_not_count_as_writes() -> None:
    found = record()
    found["alone"] = {"get-history, 20,000 points": {"size": 0, "one": 4000.0}}
    assert verdict(found, "writes compared with PostgreSQL alone, one request per transaction").met is None


def test_a_long_history_may_be_up_to_1_3_times_slower() -> None:
    found = record()
    found["loads"] |= {SHORT_HISTORY: {RAILTRACK: [figure(130)]}, LONG_HISTORY: {RAILTRACK: [figure(100)]}}
    assert verdict(found, "re-sent batches, history of 200,000 compared with 10,000")[2:] == ("1.30x", True)
    found["loads"][LONG_HISTORY] = {RAILTRACK: [figure(99)]}
    assert verdict(found, "re-sent batches, history of 200,000 compared with 10,000")[2:] == ("1.31x", False)


def test_the_cost_of_the_login_is_the_median_of_ratios_within_a_round() -> None:
    assert verdict(record(), "log-metric with login, token, compared with the open server")[1:] == (
        "at least 95%", "96%", True
    )  # fmt: skip
    assert verdict(record(), "log-metric with login, password, compared with the open server")[2:] == ("89%", False)
    assert verdict(record(), "get-run, 20 metrics with login, token, compared with the open server").met is None
