"""The Markdown report shows each figure with its failures, and nothing that was not measured."""

from bench.report import markdown, short
from bench.servers import FASTTRACKML, GUIDE_CONFIGURATION, RAILTRACK
from tests.bench.record import figure, record


def row(text: str, heading: str, name: str) -> list[str]:
    """Return the cells of a table row by the table's heading and the first cell."""
    [section] = [part for part in text.split("\n## ") if part.startswith(heading)]
    [line] = [line for line in section.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.strip("| ").split(" | ")]


def test_failures_are_shown_next_to_the_rate() -> None:
    columns = row(markdown(record()), "Responses per second", "log-metric")
    assert columns[1:] == ["150", "5", "30, **7 rejected**", "30.0x", "5.0x"]


def test_a_load_without_responses_has_no_rate() -> None:
    columns = row(markdown(record()), "Responses per second", "get-history, 20,000 points")
    assert columns[1:] == ["40", "- (none in 1 s), **4 timeouts**", "- (not served)", "-", "-"]


def test_costs_are_the_means_of_the_rounds_and_the_highest_peak() -> None:
    columns = row(markdown(record()), "Cost", "log-metric")
    assert columns[1] == "0.1 + 0.2 s; 1, 2 ms; 90 MB"


def test_the_rates_of_postgresql_are_shown_for_single_requests_and_groups() -> None:
    columns = row(markdown(record()), "PostgreSQL alone", "log-metric")
    assert columns[1:7] == ["150", "200", "75%", "4", "300", "50%"]


def test_a_failed_replay_is_shown_with_its_error() -> None:
    found = record()
    found["alone"]["log-metric"] = {"size": 0, "failed": "RuntimeError('pgbench')"}
    columns = row(markdown(found), "PostgreSQL alone", "log-metric")
    assert columns[1:] == ["150", "-", "-", "-", "-", "-", "RuntimeError('pgbench')"]


def test_a_failed_transfer_is_shown_with_its_error() -> None:
    found = record()
    done = {"up": 400.0, "down": 800.0, "first_byte_s": 0.0123, "peak_mb": 70.0, "disk_mb": 0.0}
    found["transfer"] = {RAILTRACK: done, FASTTRACKML: "404"}
    text = markdown(found)
    assert row(text, "1 GB", RAILTRACK)[1:] == ["400 MB/s", "800 MB/s", "12 ms", "70 MB", "0 MB"]
    assert row(text, "1 GB", FASTTRACKML)[1] == "- (404)"


def test_failures_in_512_mb_are_shown() -> None:
    found = record()
    found["bounded"] = {
        RAILTRACK: {"start_s": 0.2, "peak_mb": 100.0, "peak_with_files_mb": 512.0, "killed": 0, "failed": {}},
        GUIDE_CONFIGURATION: {"start_s": None, "killed": 3, "failed": {"it ended": "a|b"}, "untried": ["create-run"]},
    }
    text = markdown(found)
    assert row(text, "In 512 MB", RAILTRACK)[1:] == ["0.20 s", "100 MB", "512 MB", "0", "none"]
    assert row(text, "In 512 MB", GUIDE_CONFIGURATION)[1:] == [
        "-",
        "-",
        "-",
        "3",
        "it ended: a/b; not run, time was up: 1 loads",
    ]


def test_growth_has_one_column_per_size_and_one_row_per_server() -> None:
    found = record()
    found["runs"] = {
        size: {
            "loads": {"create-run": {RAILTRACK: [figure(rate)]}},
            "start_s": {RAILTRACK: 0.25},
            "idle_mb": {RAILTRACK: 50.0},
        }
        for size, rate in (("2000", 1234.0), ("200000", 99.5))
    }
    text = markdown(found)
    assert row(text, "With more runs", "runs")[1:] == ["2,000", "200,000"]
    assert row(text, "With more runs", f"create-run: {RAILTRACK}")[1:] == ["1,234", "99.5"]
    assert row(text, "With more runs", f"start: {RAILTRACK}")[1:] == ["0.25 s", "0.25 s"]


def test_an_incomplete_record_is_reported_with_its_errors() -> None:
    found = record() | {"loads": {}, "alone": {}, "servers": {RAILTRACK: {"version": "0.1.0"}}}
    found["errors"] = {"start": "RuntimeError('no')"}
    text = markdown(found)
    assert row(text, "Start and memory", RAILTRACK)[1:] == ["0.1.0", "-", "-", "-", "-"]
    assert "\n- start: RuntimeError('no')\n" in text


def test_numbers_have_three_digits_and_no_exponent() -> None:
    assert [short(number) for number in (0.01234, 1.2345, 99.99, 12345.6)] == ["0.0123", "1.23", "100", "12,346"]


def test_the_cost_of_the_login_is_shown_beside_the_open_server() -> None:
    section = next(part for part in markdown(record()).split("\n## ") if part.startswith("With login"))
    assert "| log-metric | open | 53.3 | 0.133 | - | - |" in section
    assert "| log-metric | token | 48.3 | 0.403 | 96% | 110% |" in section
