"""Statements of README, CONTRIBUTING and docs/ that can be computed are true."""

import re
import tomllib
from pathlib import Path

import build_ui

import railtrack

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def code(page: Path) -> str:
    """Return the text in code blocks and between backticks."""
    text = page.read_text()
    return "\n".join([*re.findall(r"^```.*?^```", text, re.M | re.S), *re.findall(r"`([^`\n]+)`", text)])


def test_every_make_command_on_a_page_is_a_target() -> None:
    commands = "\n".join(code(page) for page in PAGES)
    named = set(re.findall(r"\bmake(?: [A-Z_]+=\S+)* ([a-z-]+)", commands))
    assert "serve" in named
    assert named <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))


def test_the_first_commands_are_on_the_front_page() -> None:
    assert {"serve", "test"} <= set(re.findall(r"^make ([a-z-]+)$", (ROOT / "README.md").read_text(), re.M))


def test_continuous_integration_runs_the_test_command_of_the_front_page() -> None:
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1].endswith("exec make test")


def test_every_public_make_target_is_explained() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.M)
    assert phony
    assert set(phony[1].split()) == set(re.findall(r"^([a-z-]+):.* ## \S", MAKEFILE, re.M))


def test_the_record_lists_exactly_the_dependencies() -> None:
    required = [*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]]
    required += [one for group in PROJECT["dependency-groups"].values() for one in group if isinstance(one, str)]
    names = {re.split(r"[^\w.-]", requirement)[0] for requirement in required}
    record = (ROOT / "docs" / "adr" / "0007-dependencies.md").read_text()
    assert set(re.findall(r"^\| ([\w.-]+) \|", record, re.M)) - {"dependency", "---"} == names


def test_build_requirements_are_locked() -> None:
    assert PROJECT["dependency-groups"]["build"] == PROJECT["build-system"]["requires"]


def test_the_lock_file_names_only_the_public_index() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    sources = {package["source"].get("registry", "here") for package in lock["package"]}
    assert sources == {"https://pypi.org/simple", "here"}


def test_the_decision_records_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "adr").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_architecture_page_shows_every_part_of_the_package() -> None:
    parts = {path.name for path in (ROOT / "src" / "railtrack").iterdir() if path.is_dir() or path.suffix == ".py"}
    parts = {part for part in parts if not part.startswith("__")}
    drawn = (ROOT / "docs" / "architecture.md").read_text()
    assert not {part for part in parts if not re.search(rf"^  {re.escape(part)}/? ", drawn, re.M)}


def test_the_changelog_has_a_section_for_the_next_version() -> None:
    assert re.search(r"^## Unreleased$", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_one_version_of_mlflow_is_followed_everywhere() -> None:
    oracle = (ROOT / "Makefile").read_text()
    assert build_ui.MLFLOW == railtrack.MLFLOW_VERSION
    assert f"mlflow=={railtrack.MLFLOW_VERSION}\n" in oracle
    assert f"MLflow {railtrack.MLFLOW_VERSION}" in (ROOT / "README.md").read_text()
    assert f"MLflow {railtrack.MLFLOW_VERSION}" in (ROOT / "NOTICE").read_text()
