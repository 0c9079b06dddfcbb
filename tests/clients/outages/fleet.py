"""Four unmodified clients at default settings on one server, all operations at once, and what came of each call."""

import contextlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from tests.clients.interpreters import client_environment, client_interpreter
from tests.servers.processes import die_with_parent

VERSIONS = ("3.18.0", "3.17.2", "3.1.0", "2.9.2")
OPERATIONS = ("log_metric", "log_batch", "set_tag", "create_run", "log_artifact", "register")
CREATES = ("create_run", "register")
"""What would exist twice if it were sent again after all: client 3.18.0 repeats these more rarely."""
PROGRAM = Path(__file__).with_name("program.py")
BEYOND_THE_OUTAGE_S = 400
"""How long a test waits for calls to return. The longest pause of a client between two attempts is 120 s."""


class Policy(msgspec.Struct):
    """How one of a client's HTTP sessions repeats a failed request: read from the session itself."""

    statuses: list[int]
    read_errors: bool
    pauses_s: list[float]

    @property
    def patience_s(self) -> float:
        """Seconds from a call's first attempt to its last one, at least (the random part is left out)."""
        return sum(self.pauses_s)


class Call(msgspec.Struct):
    """One call of a client: `began` and `ended` by the monotonic clock of this machine."""

    operation: str
    began: float
    ended: float
    acknowledged: list[Any] | None
    error: str | None

    @property
    def seconds(self) -> float:
        return self.ended - self.began


class Client:
    """A client's process and its record."""

    def __init__(self, version: str, url: str, folder: Path) -> None:
        self.version = version
        self._folder = folder
        self._record = folder / "record.jsonl"
        environment = client_environment(url, folder)
        del environment["MLFLOW_HTTP_REQUEST_MAX_RETRIES"]  # the other tests': here the client's own default counts
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [str(client_interpreter(version)), str(PROGRAM), str(self._record), str(folder)],
                env=environment,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def policies(self) -> list[Policy]:
        return msgspec.convert(self._lines()[0]["policies"], list[Policy])

    def policy(self, operation: str) -> Policy:
        """Of a client with two policies, creates follow the stricter one."""
        by_strictness = sorted(self.policies(), key=lambda policy: len(policy.statuses))
        return by_strictness[0 if operation in CREATES else -1]

    def calls(self) -> list[Call]:
        return msgspec.convert(self._lines()[1:], list[Call])

    def _lines(self) -> list[Any]:
        if self._process.poll() not in (None, 0):
            raise AssertionError(f"client {self.version} ended:\n{self.log()}")
        text = self._record.read_text() if self._record.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def ask_to_finish(self) -> None:
        """Have it make no more calls."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def wait_finished(self) -> None:
        """Return when the calls under way have returned and it has ended."""
        assert self._process.wait(BEYOND_THE_OUTAGE_S) == 0, self.log()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Failure(NamedTuple):
    """A call that failed, with what its client's policy says about it."""

    version: str
    call: Call
    policy: Policy

    def __str__(self) -> str:
        return f"{self.version} {self.call.operation} after {self.call.seconds:.1f} s: {self.call.error}"


class Fleet:
    """All clients. Calls are looked at from a moment on, by time.monotonic()."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = clients

    def wait_until_each_succeeds(self, since: float) -> None:
        """Return when each operation of each client has succeeded in a call that began after `since`."""
        self._wait(since, lambda call: call.error is None)

    def wait_until_each_returns(self, since: float) -> None:
        """Return when each operation of each client has returned from a call that began after `since`."""
        self._wait(since, lambda call: True)

    def _wait(self, since: float, counts: Callable[[Call], bool]) -> None:
        deadline = time.monotonic() + BEYOND_THE_OUTAGE_S
        wanted = {(client.version, operation) for client in self.clients for operation in OPERATIONS}
        while missing := wanted - {
            (client.version, call.operation)
            for client in self.clients
            for call in client.calls()
            if call.began > since and counts(call)
        }:
            assert time.monotonic() < deadline, f"no call of {sorted(missing)} since the outage"
            time.sleep(0.2)

    def failures(self, since: float = 0) -> list[Failure]:
        return [
            Failure(client.version, call, client.policy(call.operation))
            for client in self.clients
            for call in client.calls()
            if call.error is not None and call.ended > since
        ]

    def finish(self) -> None:
        for client in self.clients:
            client.ask_to_finish()
        for client in self.clients:
            client.wait_finished()


@contextlib.contextmanager
def running_fleet(url: str, folder: Path, versions: Sequence[str] = VERSIONS) -> Iterator[Fleet]:
    """The clients, each at work: every operation has succeeded once."""
    clients: list[Client] = []
    try:
        for version in versions:
            (folder / version).mkdir(parents=True)
            clients.append(Client(version, url, folder / version))
        fleet = Fleet(clients)
        fleet.wait_until_each_succeeds(since=0)
        yield fleet
    finally:
        for client in clients:
            client.kill()
