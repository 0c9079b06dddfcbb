"""Each training of examples/ has what its readers and Railway need. trainings/ runs them."""

import json
import re
from pathlib import Path

import pytest
from tests.examples.training import EXAMPLES, MODELS


@pytest.mark.parametrize("name", MODELS)
def test_a_training_is_described_in_both_languages_and_its_image_copies_what_it_imports(name: str) -> None:
    folder = EXAMPLES / name
    assert {"README.md", "README.ko.md", "Dockerfile", "train.py"} <= {path.name for path in folder.iterdir()}
    dockerfile = (folder / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (\S+) \S+$", dockerfile, re.MULTILINE)
    assert {"requirements.txt", "launch.py", "shared", name} == set(copied)
    assert all((EXAMPLES / path).exists() for path in copied)
    command = re.search(r"^CMD (\[.*\])$", dockerfile, re.MULTILINE)
    assert command
    assert json.loads(command[1]) == ["python", "launch.py", f"{name}/train.py"]


def test_every_requirement_is_pinned() -> None:
    lines = (EXAMPLES / "requirements.txt").read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", line) for line in requirements), requirements


def test_the_variables_of_the_example_are_those_of_the_guide() -> None:
    named = set(re.findall(r"^([A-Z0-9_]+)=", (EXAMPLES / ".env.example").read_text(), re.MULTILINE))
    guide = (Path(__file__).parents[2] / "docs" / "deploy.md").read_text()
    assert "MLFLOW_TRACKING_URI" in named
    assert {name for name in named if name not in guide} == set()
