"""The container image: built from the Dockerfile by buildah, unpacked, and its configuration."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.servers.base_image import stand_in_base
from tests.servers.buildah import buildah
from tools.get_uv import pip_setting

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "docker" / "mlflow" / "Dockerfile"
IMAGE = "localhost/railtrack"


@dataclass(frozen=True)
class Image:
    """A built image. `root` has its files, as nothing has run yet."""

    name: str
    root: Path

    @cached_property
    def inspected(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(buildah("inspect", "--type", "image", self.name))
        return found

    @property
    def config(self) -> dict[str, Any]:
        """The configuration from the Dockerfile: User, Env, Entrypoint, Healthcheck and so on."""
        found: dict[str, Any] = self.inspected["Docker"]["config"]
        return found

    @property
    def environment(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self.config["Env"])

    @property
    def layers(self) -> list[int]:
        """The sizes of the layers in bytes: the base image, and one layer with all that the Dockerfile adds."""
        return [layer["size"] for layer in json.loads(self.inspected["Manifest"])["layers"]]


@contextlib.contextmanager
def built_image(context: Path, environ: Mapping[str, str]) -> Iterator[Image]:
    """Build the image from the sources in `context`, with PATH and `environ` as the only variables."""
    base = stand_in_base()
    options = ["--isolation", "chroot", "--format", "docker", "--pull-never", "--quiet"]
    options += ["--build-arg", f"PYTHON_IMAGE={base}", "--file", str(context / DOCKERFILE.relative_to(ROOT))]
    if index := pip_setting("index-url", ""):
        options += ["--build-arg", f"PIP_INDEX_URL={index}"]
    with contextlib.suppress(RuntimeError):
        buildah("rmi", "--force", IMAGE)  # from an earlier run
    buildah("build", *options, "--tag", IMAGE, str(context), environ=environ)
    with mounted(IMAGE) as root:
        yield Image(IMAGE, root)


@contextlib.contextmanager
def mounted(image: str) -> Iterator[Path]:
    container = buildah("from", "--pull-never", image)
    try:
        yield Path(buildah("mount", container))
    finally:
        buildah("rm", container)
