"""Runs programs that call `railway`, with railway_cli.py as `railway` and a terminal as their input."""

import json
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.processes import TIMEOUT_S

PROGRAM = Path(__file__).with_name("railway_cli.py")


@dataclass
class Railway:
    """A project, as railway_cli.py knows it."""

    folder: Path
    logged_in: bool = True
    linked: bool = True
    services: Sequence[str] = ("Postgres", "backend-service")
    buckets: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """The variables of each service."""
    up: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The calls of `railway` in order."""
        record = self.folder / "calls"
        return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []

    @property
    def commands(self) -> list[list[str]]:
        """The arguments of the calls that change something."""
        asking = (["whoami"], ["status"], ["service", "list", "--json"], ["bucket", "list", "--json"])
        called = [call["argv"] for call in self.calls]
        return [argv for argv in called if argv not in asking and argv[:2] != ["variable", "list"]]

    def run(
        self, *command: str | Path, cwd: Path, typed: str = "", terminal: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command. `typed` is its input at the terminal."""
        self._install()
        master, slave = pty.openpty()
        try:
            os.write(master, typed.encode())
            return subprocess.run(
                [str(argument) for argument in command],
                cwd=cwd,
                env={"PATH": f"{self.folder}:{os.environ['PATH']}", "HOME": str(self.folder), **self.environment},
                stdin=slave if terminal else subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        finally:
            os.close(master)
            os.close(slave)

    def _install(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.folder / "calls"
        names = ("logged_in", "linked", "services", "buckets", "variables", "up")
        record.with_suffix(".state").write_text(json.dumps({name: getattr(self, name) for name in names}))
        program = self.folder / "railway"
        command = shlex.join([sys.executable, "-IS", str(PROGRAM), str(record)])
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        program.chmod(0o755)
