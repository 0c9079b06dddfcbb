"""Containers of the image without a container engine: separate namespaces for mounts and processes, the image's files
read-only, its user, its variables, and its entry point as process 1. The network is that of this machine.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from tests.servers.image import Image
from tests.servers.processes import TIMEOUT_S, die_with_parent
from tests.servers.railtrack import RailtrackServer

SETUP = """
set -e
PATH="$PATH:/usr/sbin:/sbin"
root=$1 user=$2 data=$3 tmp=$4
shift 4
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,size=64m shm "$root/dev/shm"
for file in hosts resolv.conf; do
    [ ! -e "$root/etc/$file" ] || mount --bind "/etc/$file" "$root/etc/$file"
done
[ -z "$data" ] || mount --bind "$data" "$root/mlflow/data"
[ -z "$tmp" ] || mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -o remount,bind,ro "$root"
exec chroot --userspec="$user" --groups="" "$root" /usr/bin/env -i "$@"
"""
"""Prepares what a read-only container of Docker or Kubernetes has: a small /dev with shared memory, and its volumes.

Debian installs chroot in /usr/sbin, which is not on root's PATH after a plain `su`.
"""


@dataclass(frozen=True)
class ContainerOptions:
    """How to run a container. `user`: uid:gid; `data`: a folder of this machine to mount as the volume; `tmp`: whether
    /tmp is writable; `start`: replaces the entry point; `arguments`: follow it.
    """

    user: str = "1000:1000"
    data: Path | None = None
    tmp: bool = False
    start: Sequence[str] | None = None
    arguments: Sequence[str] = ()
    cgroup: Path | None = None


def command(image: Image, environment: Mapping[str, str], options: ContainerOptions) -> list[str]:
    """Return the command that runs the container. Its process is the parent of process 1 in the container."""
    variables = [f"{name}={value}" for name, value in {**image.environment, **environment}.items()]
    program = [*(image.config["Entrypoint"] if options.start is None else options.start), *options.arguments]
    namespaces = ["unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]
    paths = [str(image.root), options.user, str(options.data or ""), "yes" if options.tmp else ""]
    inside = ["-C", image.config["WorkingDir"], *variables, *program]
    return [*namespaces, "sh", "-c", SETUP, "setup", *paths, *inside]


def run(image: Image, environment: Mapping[str, str], options: ContainerOptions) -> subprocess.CompletedProcess[str]:
    """Run a container that ends by itself."""
    return subprocess.run(
        command(image, environment, options), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@dataclass
class Health:
    """The result of the image's HEALTHCHECK."""

    code: int
    output: str = field(repr=False)


class Container(RailtrackServer):
    """The server in its container. `pid` is the id of process 1 outside of it."""

    def __init__(self, image: Image, folder: Path, environment: Mapping[str, str], options: ContainerOptions) -> None:
        super().__init__(folder, None, {})
        self._image = image
        self._options = options
        self.environment = {"MLFLOW_PORT": str(self.port), **environment}

    @property
    def pid(self) -> int:
        parent = super().pid
        child = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        assert child, "the container has ended"
        return int(child[0])

    def health(self) -> Health:
        """Run the image's HEALTHCHECK. As with an engine, it fails when its timeout is over."""
        check = self._image.config["Healthcheck"]
        kind, *program = check["Test"]
        assert kind == "CMD"
        user, group = self._options.user.split(":")
        variables = [f"{name}={value}" for name, value in {**self._image.environment, **self.environment}.items()]
        enter = ["nsenter", "--target", str(self.pid), "--mount", "--pid", "--root", "-S", user, "-G", group]
        try:
            done = subprocess.run(
                [*enter, "/usr/bin/env", "-i", "-C", self._image.config["WorkingDir"], *variables, *program],
                capture_output=True,
                text=True,
                timeout=check["Timeout"] / 1e9,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Health(1, "timeout")
        return Health(done.returncode, done.stdout + done.stderr)

    def _spawn(self, log: BinaryIO) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            command(self._image, self.environment, self._options),
            stdout=log,
            stderr=log,
            cwd="/",
            preexec_fn=self._before_exec,
        )

    def _before_exec(self) -> None:
        die_with_parent()
        if self._options.cgroup:
            (self._options.cgroup / "cgroup.procs").write_text(str(os.getpid()))


@contextlib.contextmanager
def container(
    image: Image, folder: Path, environment: Mapping[str, str], options: ContainerOptions
) -> Iterator[Container]:
    """Run a container, yield it when it is healthy, and stop it at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Container(image, folder, environment, options)
    try:
        server.start()
        yield server
    finally:
        server.stop()
