"""Runs an outage under a fleet, and reports for each client how its calls went and which failures are unexpected."""

import time
from collections.abc import Callable
from typing import NamedTuple

from tests.clients.outages.fleet import Client, FailedCall, Fleet
from tests.clients.outages.stored import ReadArtifact, duplicates, lost_writes


class Outage(NamedTuple):
    """Start and end by the monotonic clock. `status`: what a proxy answered meanwhile, if a proxy did."""

    began: float
    ended: float
    status: int | None = None


class ClientReport(NamedTuple):
    version: str
    calls: int
    failed: int
    longest_s: float


class Report(NamedTuple):
    """`unexpected`: failed calls that the client's retry policy should have saved."""

    clients: list[ClientReport]
    unexpected: list[str]
    lost: list[str]
    duplicates: list[str]


def run_outage(fleet: Fleet, stop: Callable[[], object], start: Callable[[], object], seconds: float) -> Outage:
    """Stop something for `seconds`, start it, and wait until every operation of every client succeeds again."""
    began = time.monotonic()
    stop()
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    start()
    ended = time.monotonic()
    fleet.wait_until_each_succeeds(since=ended)
    return Outage(began, ended)


def report(fleet: Fleet, outage: Outage, database: str, read_artifact: ReadArtifact) -> Report:
    """Stop the fleet and examine its calls and the stored data."""
    fleet.stop()
    return Report(
        [_client_report(client, outage) for client in fleet.clients],
        [str(failed) for failed in fleet.failed_calls() if not is_expected(failed, outage)],
        lost_writes(fleet, database, read_artifact),
        duplicates(database),
    )


def _client_report(client: Client, outage: Outage) -> ClientReport:
    calls = [call for call in client.calls() if call.ended > outage.began]
    failed = sum(call.error is not None for call in calls)
    return ClientReport(client.version, len(calls), failed, max(call.seconds for call in calls))


def is_expected(failed: FailedCall, outage: Outage) -> bool:
    """Return whether the client does not retry the status it got, or made its last attempt during the outage."""
    _, call, policy = failed
    if outage.status is not None and outage.status not in policy.retried_statuses:
        return str(outage.status) in (call.error or "")
    return call.seconds >= policy.window_s and call.began + policy.window_s < outage.ended
