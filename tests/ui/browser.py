"""Run Chromium for the UI tests: a tab records console errors, uncaught errors and failed requests."""

import contextlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, Response, expect, sync_playwright
from tests.servers.processes import find_program

SCREENSHOTS = Path(__file__).parent / "screenshots"
"""Rewritten by each run, for inspection. Not in git."""

WAIT_MS = 60_000
QUIET_SECONDS = 0.4
expect.set_options(timeout=WAIT_MS)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Names below example.com are this machine. Block other hosts: a page that requests one fails its test.
    "--host-resolver-rules=MAP *.example.com 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
IGNORED_MESSAGES = (
    # The browser reports layouts that take more than one pass, which is harmless.
    "ResizeObserver loop",
    # Deprecation warnings of the runs table.
    "AG Grid:",
)


TEXTS_OF_ROWS = """
(cells, link) => cells
    .map(cell => [+cell.closest(".ag-row").getAttribute("row-index"), link ? cell.querySelector(link) : cell])
    .sort((one, other) => one[0] - other[0])
    .map(([_, shown]) => shown ? shown.innerText : "")
"""
"""Read all rows in one evaluation: the table renders them in no order, and rerenders them between reads."""


class Tab:
    """A browser tab on one server. `errors` collects console errors, uncaught errors and failed requests."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.url = url
        self._pending: set[Request] = set()
        self._last_request = 0.0
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._record(f"uncaught: {error}"))
        page.on("request", self._on_request)
        page.on("requestfinished", lambda request: self._pending.discard(request))
        page.on("response", self._on_response)
        page.on("requestfailed", self._on_failure)

    def open(self, route: str) -> None:
        """Load a route of the UI (the part after `/#`) as from a bookmark."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/#{route}", wait_until="domcontentloaded")

    def see(self, *texts: str) -> None:
        """Wait until each text is visible somewhere."""
        for text in texts:
            expect(self.page.get_by_text(text).filter(visible=True).first).to_be_visible()

    def part(self, component: str) -> Locator:
        """Return the visible elements whose component id (assigned by MLflow) ends with `component`."""
        return self.page.locator(f"[data-component-id$='{component}']").filter(visible=True)

    def request(self, path: str, body: Any = None, **query: str) -> Any:
        """Send a request to MLflow's REST API without the page, a POST if it has a body. Return the JSON response."""
        url = f"{self.url}/api/2.0/mlflow/{path}"
        request = self.page.request
        response = request.get(url, params=query) if body is None else request.post(url, data=body)
        assert response.ok, response.text()
        return response.json()

    def rows(self, selector: str, link: str = "") -> list[str]:
        """Return the texts of the selected cells of a table, or of their first `link`, from top to bottom."""
        texts: list[str] = self.page.locator(selector).evaluate_all(TEXTS_OF_ROWS, link)
        return texts

    def until(self, look: Callable[[], Any], expected: Any) -> None:
        """Wait until `look` returns the expected value."""
        deadline = time.monotonic() + WAIT_MS / 1000
        while (found := look()) != expected and time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
        assert found == expected

    def keep_screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def settle(self) -> None:
        """Wait until the page has sent no request for QUIET_SECONDS."""
        deadline = time.monotonic() + WAIT_MS / 1000
        while self._pending or time.monotonic() - self._last_request < QUIET_SECONDS:
            assert time.monotonic() < deadline, f"still waiting for {[one.url for one in self._pending]}"
            self.page.wait_for_timeout(50)

    def check(self, *, allowed: tuple[str, ...] = ()) -> None:
        """Check that there are no errors or visible alerts except the `allowed` (regular expressions)."""
        self.settle()
        left = [one for one in self.errors if not any(re.search(pattern, one) for pattern in allowed)]
        assert left == [], "\n".join(left)
        alerts = self.page.locator("[role=alert], [class*=notification-notice-error]").filter(visible=True)
        alert_texts = [text for alert in alerts.all_inner_texts() if (text := alert.strip())]
        left = [text for text in alert_texts if not any(re.search(pattern, text) for pattern in allowed)]
        assert left == [], "\n".join(left)

    def _record(self, error: str) -> None:
        if not any(noise in error for noise in IGNORED_MESSAGES):
            self.errors.append(error)

    def _on_console(self, message: ConsoleMessage) -> None:
        # _on_response records failed requests, with more detail.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self._record(f"console: {message.text[:2000]}")

    def _on_request(self, request: Request) -> None:
        self._last_request = time.monotonic()
        # The browser never reports that a worker's script has finished.
        if not request.url.endswith(".worker.js"):
            self._pending.add(request)

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self._record(f"{response.status} {response.request.method} {self._short(response.url)}")

    def _on_failure(self, request: Request) -> None:
        self._pending.discard(request)
        # Leaving a page cancels its requests.
        if request.failure != "net::ERR_ABORTED":
            self._record(f"failed {request.method} {self._short(request.url)}: {request.failure}")

    def _short(self, url: str) -> str:
        parts = urlsplit(url)
        return parts.path if url.startswith(self.url) else f"{parts.netloc}{parts.path}"


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yield the system's Chromium, headless."""
    program = find_program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as home:
        # A temporary home: it writes crash reports and settings there, regardless of its profile.
        environment = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home}
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS), env=environment)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def new_tab(browser: Browser, url: str) -> Iterator[Tab]:
    """Yield a tab in a new profile, as on a first visit."""
    context = browser.new_context(viewport={"width": 1500, "height": 1000}, accept_downloads=True)
    try:
        yield Tab(context.new_page(), url)
    finally:
        context.close()
