"""The command line itself: misplaced and misspelt options, completion, and output that nobody reads any more."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers.railtrack import command


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--prot", "5001"), "There is no option --prot before the command. Did you mean `railtrack server --port`?"),
        (("--port=5001",), "There is no option --port before the command. Did you mean `railtrack server --port`?"),
        (("--versoin",), "There is no option --versoin before the command. Did you mean `railtrack --version`?"),
        (("server", "--prot", "5001"), "There is no option --prot. Did you mean --port?"),
        (("ui", "--prot=5001"), "There is no option --prot. Did you mean --port?"),
    ],
)
def test_an_unknown_option_is_reported_with_the_one_that_may_be_meant(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = command(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"Error: {message}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("flags", "name"), [(("--port",), "--port"), (("-p",), "-p"), ((), "MLFLOW_PORT")])
def test_a_port_in_use_is_reported_by_the_name_that_was_given_and_nothing_is_created(
    tmp_path: Path, flags: tuple[str, ...], name: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = command(tmp_path, "server", *flags, *([port] if flags else []), MLFLOW_PORT=port)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"Error: {name}: cannot listen on 127.0.0.1 port {port} (Address already in use). "
        f"Stop what uses the port, or set {name} to another one."
    )
    assert list(tmp_path.iterdir()) == []


def test_an_address_of_another_machine_is_reported_by_the_name_of_the_host(tmp_path: Path) -> None:
    for arguments, environ, name in [
        (("--host", "192.0.2.1"), {}, "--host"),
        ((), {"MLFLOW_HOST": "192.0.2.1"}, "MLFLOW_HOST"),
    ]:
        done = command(tmp_path, "server", *arguments, RAILTRACK_AUTH="off", **environ)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(f"Error: {name}: cannot listen on 192.0.2.1 (")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("railtrack ser", {"server "}),
        ("railtrack server --backend", {"--backend-store-uri "}),
        ("railtrack doctor --js", {"--json "}),
        ("railtrack tokens cr", {"create "}),
    ],
)
def test_a_shell_completes_commands_and_flags(tmp_path: Path, line: str, candidates: set[str]) -> None:
    """argcomplete's protocol: the line so far in COMP_LINE, the candidates on descriptor 8."""
    railtrack = Path(sys.executable).with_name("railtrack")
    environ = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "PATH": os.environ["PATH"]}
    script = f'exec 8>"{tmp_path}/candidates" 9>&2; exec "{railtrack}"'
    subprocess.run(["bash", "-c", script], env=environ, check=True, timeout=60)
    assert set((tmp_path / "candidates").read_text().split("\v")) == candidates


def test_output_that_nobody_reads_ends_the_command_without_a_traceback(tmp_path: Path) -> None:
    railtrack = Path(sys.executable).with_name("railtrack")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [railtrack, "doctor", "--all"], stdout=writer, stderr=subprocess.PIPE, cwd=tmp_path, check=False, timeout=60
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
