"""Four unmodified clients at default settings that call one server in loops, and the record of their calls."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from tests.clients.interpreters import client_environment, client_interpreter
from tests.servers.processes import die_with_parent

VERSIONS = ("3.18.0", "3.17.2", "3.1.0", "2.9.2")
CREATES = ("create_run", "create_model_version")
"""Calls that are not idempotent. Client 3.18.0 has a stricter retry policy for them."""
OPERATIONS = ("log_metric", "log_batch", "set_tag", "log_artifact", *CREATES)
PROGRAM = Path(__file__).with_name("program.py")
TIMEOUT_S = 400
"""How long to wait for calls to return. A client waits up to 120 s before its last attempt."""


class RetryPolicy(msgspec.Struct):
    """How an HTTP session of a client retries, as read from the session."""

    retried_statuses: list[int]
    delays_s: list[float]

    @property
    def window_s(self) -> float:
        """Time from the first attempt to the last one, without jitter."""
        return sum(self.delays_s)


class Call(msgspec.Struct):
    """One call of a client. `began` and `ended` are readings of the monotonic clock."""

    operation: str
    began: float
    ended: float
    acknowledged: list[Any] | None
    error: str | None

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class FailedCall(NamedTuple):
    version: str
    call: Call
    policy: RetryPolicy

    def __str__(self) -> str:
        return f"{self.version} {self.call.operation} after {self.call.seconds:.1f} s: {self.call.error}"


class Client:
    """The process of a client, and its record."""

    def __init__(self, version: str, url: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.version = version
        self._record = folder / "record.jsonl"
        self._log = folder / "log"
        environment = client_environment(url, folder) | environment
        del environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]  # these tests are about the default
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(client_interpreter(version)), str(PROGRAM), str(self._record), str(folder)],
                env=environment,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def calls(self) -> list[Call]:
        """Return the calls that have returned so far."""
        return msgspec.convert(self._lines()[1:], list[Call])

    def policy(self, operation: str) -> RetryPolicy:
        """Return the policy for an operation. If the client has two, the stricter one is for creates."""
        policies = msgspec.convert(self._lines()[0]["policies"], list[RetryPolicy])
        policies.sort(key=lambda policy: len(policy.retried_statuses))
        return policies[0 if operation in CREATES else -1]

    def failed_calls(self) -> list[FailedCall]:
        return [
            FailedCall(self.version, call, self.policy(call.operation))
            for call in self.calls()
            if call.error is not None
        ]

    def _lines(self) -> list[Any]:
        if self._process.poll() not in (None, 0):
            raise AssertionError(f"client {self.version} ended:\n{self._log.read_text(errors='replace')}")
        text = self._record.read_text() if self._record.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def request_stop(self) -> None:
        """Make the client end after the calls in flight."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait_stopped(self) -> None:
        assert self._process.wait(TIMEOUT_S) == 0, self._log.read_text(errors="replace")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Fleet:
    """All clients."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = clients

    def wait_until_each_succeeds(self, since: float) -> None:
        """Return when each operation of each client has succeeded in a call that began after `since`."""
        wanted = {(client.version, operation) for client in self.clients for operation in OPERATIONS}
        deadline = time.monotonic() + TIMEOUT_S
        while missing := wanted - {
            (client.version, call.operation)
            for client in self.clients
            for call in client.calls()
            if call.began > since and call.error is None
        }:
            assert time.monotonic() < deadline, f"no success of {sorted(missing)}"
            time.sleep(0.2)

    def failed_calls(self, since: float = 0) -> list[FailedCall]:
        """Return the failed calls that ended after `since`."""
        return [failed for client in self.clients for failed in client.failed_calls() if failed.call.ended > since]

    def stop(self) -> None:
        """Stop all clients after their calls in flight."""
        for client in self.clients:
            client.request_stop()
        for client in self.clients:
            client.wait_stopped()


@contextlib.contextmanager
def running_fleet(url: str, folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Fleet]:
    """Start the clients, and return when each operation of each client has succeeded once."""
    clients: list[Client] = []
    try:
        for version in VERSIONS:
            (folder / version).mkdir(parents=True)
            clients.append(Client(version, url, folder / version, environment or {}))
        fleet = Fleet(clients)
        fleet.wait_until_each_succeeds(since=0)
        yield fleet
    finally:
        for client in clients:
            client.kill()
