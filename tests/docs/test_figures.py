"""Figures on the pages that follow from the code are computed from it, and files that the pages name exist."""

import re
import subprocess
from pathlib import Path

import pytest
from tests.docs.pages import DOCS, Page
from tests.house.test_imports import LONGEST

from railtrack.api import endpoints
from railtrack.api.graphql import execute as graphql
from railtrack.api.server import health
from railtrack.artifacts.s3 import credential_cache, upload_memory
from railtrack.config.settings import SETTINGS
from railtrack.db import group_commit, postgres
from railtrack.db.schema import tables
from railtrack.http_server import limits, pace
from railtrack.http_server.processes import GRACE_S
from railtrack.webhooks import delivery, outbox, sender
from railtrack.wire import request

ROOT = DOCS.parent
PACKAGE = ROOT / "src" / "railtrack"
KIB, MIB = 1 << 10, 1 << 20

NAMES = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
PAGES = [Page(ROOT / name) for name in NAMES if name.endswith(".md") and not name.startswith((".github/", "tests/ui"))]
PARTS = {path.name for path in (*ROOT.iterdir(), *PACKAGE.iterdir()) if path.is_dir() and path.name[0] != "."}
"""Folders with which a path on a page begins."""
FOREIGN = {"mlflow/server/js/build"}
"""Paths in MLflow's wheel."""

PATH = re.compile(r"(?<![\w:/.<>*~-])(?:[\w.-]+/)+[\w.-]*|(?<![\w:/.<>*~-])[\w.-]+\.(?:py|sh|ya?ml|toml)\b")


def lines_of(*names: str) -> int:
    return sum(len((PACKAGE / name).read_text().splitlines()) for name in names)


def routes() -> int:
    """Return the number of endpoints, with those under /api and /ajax-api counted once."""
    return len({(method, re.sub(r"^/(?:ajax-)?api", "", path)) for method, path in endpoints()})


def default(variable: str) -> str:
    [setting] = [one for one in SETTINGS if variable in one.variables]
    return setting.default


PART_MEMORY = upload_memory.POOL_BYTES + upload_memory.LANES * upload_memory.PART_BYTES
FIGURES = [
    ("adr/0001*", f"about {round(routes(), -1)} endpoints"),
    ("adr/0001*", f"A module has at most {LONGEST} lines."),
    ("adr/0006*", f"all {len(tables())} tables of MLflow"),
    ("adr/0008*", f"One process holds at most {PART_MEMORY // MIB} MB of them"),
    ("adr/0009*", f"{outbox.QUEUE_LIMIT:,} rows for a webhook"),
    ("adr/0009*", f"{outbox.PAYLOAD_LIMIT // KIB} KiB for a payload"),
    ("adr/0009*", f"{int(default('MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES')) + 1} attempts with exponential backoff"),
    ("adr/0009*", f"reads {sender.RESPONSE_BYTES_READ // KIB} KiB of the response"),
    ("artifacts.md", f"sends nothing for {pace.BODY_PATIENCE_S:.0f} s, or less than {pace.MIN_BYTES_PER_S // KIB} kB"),
    ("artifacts.md", f"current part, at most {upload_memory.PART_BYTES // MIB} MiB"),
    ("artifacts.md", f"together hold at most {PART_MEMORY // MIB} MB"),
    ("artifacts.md", f"send at least {upload_memory.FAST_BYTES_PER_S // KIB} KiB per second"),
    ("artifacts.md", f"get 429 after {upload_memory.WAIT_TIMEOUT_S:.0f} s"),
    ("artifacts.md", f"falls {upload_memory.MAX_AHEAD_S:.0f} s behind"),
    ("artifacts.md", f"renews them {credential_cache.RENEWAL_MARGIN_S / 60:.0f} minutes before they expire"),
    ("artifacts.md", f"takes effect within {credential_cache.STATIC_LIFETIME_S / 60:.0f} minutes"),
    ("container.md", f"finishes current requests, within {GRACE_S} s"),
    ("doctor.md", f"creates MLflow's {len(tables())} tables"),
    ("operations.md", f"probed at most every {health.PROBE_CACHE_S:.0f} s"),
    ("operations.md", f"waits up to {postgres.ACQUIRE_TIMEOUT_S} s for a free connection"),
    ("operations.md", f"idle for {postgres.IDLE_TIMEOUT_S // 60} minutes"),
    ("operations.md", f"finishes current requests, within {GRACE_S} s"),
    ("sizing.md", f"({group_commit.QUEUE_COST_LIMIT:,} rows)"),
    ("sizing.md", f"A JSON body has at most {request.BODY_LIMIT // MIB} MB"),
    ("sizing.md", f"{limits.CONNECTIONS_LIMIT:,} connections, {limits.CLIENT_CONNECTIONS_LIMIT} of one client"),
    ("adr/0012*", f"at most {limits.CLIENT_CONNECTIONS_LIMIT} connections with a worker"),
    ("adr/0012*", f"a reserve of {limits.PROBES_RESERVE} connections"),
    ("sizing.md", f"| {PART_MEMORY // MIB} MB ([artifacts]"),
    ("../CHANGELOG.md", f"Pages have at most {graphql.PAGE_LIMIT} items."),
    ("../CHANGELOG.md", f"sends nothing for {pace.BODY_PATIENCE_S:.0f} s times out"),
]
"""Page -> text that it contains, with figures of the code."""

SPELLED = [
    ("adr/0009*", "One attempt at a time for a webhook and eight for a worker", delivery.CONCURRENT_DELIVERIES, 8),
    ("adr/0009*", "none after a day", delivery.MAX_AGE_MS, 24 * 3600 * 1000),
    ("adr/0009*", "polls every five minutes", delivery.POLL_INTERVAL_S, 300),
]
"""Page, its text, the code's figure, the figure that the text spells."""

LINES = [
    ("S3", r"([\d,]+) lines for S3", "client store upload upload_memory probe"),
    ("credentials", r"([\d,]+) for credentials", "credentials credential_process credential_cache"),
]
"""What, its number of lines in record 8, and the modules of artifacts/s3."""


def text_of(page: str) -> str:
    [path] = DOCS.glob(page) if "*" in page else [DOCS / page]
    return " ".join(path.read_text().split())


@pytest.mark.parametrize(("page", "text"), FIGURES, ids=[text for _, text in FIGURES])
def test_a_figure_on_a_page_is_that_of_the_code(page: str, text: str) -> None:
    assert text in text_of(page)


@pytest.mark.parametrize(("page", "text", "figure", "spelled"), SPELLED, ids=[text for _, text, _, _ in SPELLED])
def test_a_spelled_figure_is_that_of_the_code(page: str, text: str, figure: float, spelled: float) -> None:
    assert text in text_of(page)
    assert figure == spelled


@pytest.mark.parametrize(("pattern", "modules"), [one[1:] for one in LINES], ids=[one[0] for one in LINES])
def test_the_stated_numbers_of_lines_are_right_to_15_percent(pattern: str, modules: str) -> None:
    stated = re.search(pattern, text_of("adr/0008*"))
    assert stated
    actual = lines_of(*(f"artifacts/s3/{module}.py" for module in modules.split()))
    assert int(stated[1].replace(",", "")) == pytest.approx(actual, rel=0.15)


def missing_paths(page: Page) -> list[str]:
    """Return the files and folders of the repository that a page names in backticks and that do not exist."""
    tracked = {Path(name).name for name in NAMES}
    missing = []
    for code in re.findall(r"`([^`\n]+)`", page.prose):
        for path in PATH.findall(code):
            if "/" not in path:
                exists = path in tracked
            elif path.split("/")[0] in PARTS and path not in FOREIGN:
                exists = any((folder / path).exists() for folder in (ROOT, PACKAGE))
            else:
                exists = True  # a URL's path, an image's, a user's
            if not exists:
                missing.append(path)
    return missing


@pytest.mark.parametrize("page", PAGES, ids=[str(page.path.relative_to(ROOT)) for page in PAGES])
def test_a_page_names_files_that_exist(page: Page) -> None:
    assert not missing_paths(page)


def test_a_file_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "`wire/gone.py`, `gone.py`, `tests/gone/`, `wire/dispatch.py`, `dispatch.py`, `api/2.0/x`, `s3://a/b`"
    )
    assert missing_paths(Page(page)) == ["wire/gone.py", "gone.py", "tests/gone/", "api/2.0/x"]
