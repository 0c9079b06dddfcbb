"""The files that a code host reads: valid, and true of this repository."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
HOST = ROOT / ".github"


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_hosted_ci_runs_what_ci_runs_with_the_time_that_it_may_take() -> None:
    workflow = load(HOST / "workflows" / "ci.yml")
    last_commands = {
        name: [step["run"] for step in job["steps"] if "run" in step][-1] for name, job in workflow["jobs"].items()
    }
    assert last_commands.keys() == {"test", "fuzz"}
    assert last_commands["test"].endswith(" .ci/run")
    assert last_commands["fuzz"] == "make fuzz"
    assert {name: job["timeout-minutes"] for name, job in workflow["jobs"].items()} == {"test": 90, "fuzz": 15}
    assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("name", ["bug_report.yml", "feature_request.yml"])
def test_an_issue_form_has_what_the_host_requires(name: str) -> None:
    form = load(HOST / "ISSUE_TEMPLATE" / name)
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert ids
    assert len(ids) == len(set(ids))
    assert all(field["attributes"]["label"] for field in form["body"] if field["type"] != "markdown")


def test_updates_are_configured_for_every_kind_of_dependency() -> None:
    updates = load(HOST / "dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"uv", "docker", "github-actions"}
    for update in updates:
        assert (ROOT / update["directory"].lstrip("/")).is_dir()


def test_every_path_has_an_owner() -> None:
    lines = (HOST / "CODEOWNERS").read_text().splitlines()
    rules = [line.split() for line in lines if line and not line.startswith("#")]
    assert rules[0][0] == "*"
    assert all(re.fullmatch(r"@[\w-]+(/[\w-]+)?", owner) for _, *owners in rules for owner in owners)


def test_the_security_policy_names_files_that_exist() -> None:
    policy = (ROOT / "SECURITY.md").read_text()
    linked = re.findall(r"\]\(([\w./-]+)\)", policy) + re.findall(r"`(tests/[\w./]+)`", policy)
    assert linked
    assert [path for path in linked if not (ROOT / path).exists()] == []
