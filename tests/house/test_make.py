"""The Makefile beside what repeats it: pytest's marks, and the hooks of pre-commit."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def recipe(target: str) -> list[str]:
    """Return the commands of the target that begins so, unexpanded: `make --dry-run` would run those with $(MAKE)."""
    (commands,) = re.findall(rf"^{target}.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return [line.strip() for line in commands.splitlines()]


def test_the_fast_tests_leave_out_every_mark() -> None:
    pytest_options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    marks = [line.partition(":")[0] for line in pytest_options["markers"]]
    (expression,) = re.findall(r'-m "(.+)"', recipe("test-fast:")[0])
    assert expression == " and ".join(f"not {mark}" for mark in sorted(marks))


def test_the_parts_of_make_test_run_every_test_once() -> None:
    """By their marks: first in parallel, then those in the browser, which are all in tests/ui, then one at a time."""
    runs = [line.partition(" -m ")[2] for line in recipe("test: lint")[:3]]
    assert runs == ['"not alone and not browser$(NOT_ROOT)"', '"not alone" tests/ui', "alone"]


def test_the_hooks_of_pre_commit_are_the_checks_of_make_lint() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["entry"].replace(" --fix", "") for hook in local["hooks"]}
    assert hooks == {re.sub(r" --(check|quiet)", "", line) for line in recipe("lint:")}
