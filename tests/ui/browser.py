"""Chromium for the UI tests: one tab that notes every trouble a person would not see at once."""

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
"""Written anew by every run, for people to look at; not in git."""

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
    # Nothing leaves the machine: a page that asks another host fails its test instead.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
IGNORED_MESSAGES = (
    # The browser's notice that a layout took more than one pass; the page is fine.
    "ResizeObserver loop",
    # The runs table's own notices about properties that its next version drops.
    "AG Grid:",
)


TEXTS_OF_ROWS = """
(cells, link) => cells
    .map(cell => [+cell.closest(".ag-row").getAttribute("row-index"), link ? cell.querySelector(link) : cell])
    .sort((one, other) => one[0] - other[0])
    .map(([_, shown]) => shown ? shown.innerText : "")
"""
"""The table draws its rows in no order, and draws them anew while they are looked at one by one."""


class Tab:
    """A browser tab on one server. `troubles` collects console errors, uncaught errors and failed requests."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.errors: list[str] = []
        self.url = url
        self._asking: set[Request] = set()
        self._last_asked = 0.0
        page.set_default_timeout(WAIT_MS)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._note(f"uncaught: {error}"))
        page.on("request", self._on_request)
        page.on("requestfinished", lambda request: self._asking.discard(request))
        page.on("response", self._on_response)
        page.on("requestfailed", self._on_failure)

    def open(self, route: str) -> None:
        """Load the UI's route (what stands after `/#`) as from a bookmark."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/#{route}", wait_until="domcontentloaded")

    def see(self, *texts: str) -> None:
        """Wait until each text is visible somewhere."""
        for text in texts:
            expect(self.page.get_by_text(text).filter(visible=True).first).to_be_visible()

    def part(self, component: str) -> Locator:
        """The visible parts of the page whose component id (MLflow names its parts by it) ends so."""
        return self.page.locator(f"[data-component-id$='{component}']").filter(visible=True)

    def ask(self, path: str, body: Any = None, **query: str) -> Any:
        """What the server answers to a request of MLflow's REST API, a POST where there is a body, past the page."""
        url = f"{self.url}/api/2.0/mlflow/{path}"
        request = self.page.request
        response = request.get(url, params=query) if body is None else request.post(url, data=body)
        assert response.ok, response.text()
        return response.json()

    def rows(self, selector: str, link: str = "") -> list[str]:
        """The texts of these cells of a table from top to bottom, or of their first `link`, at one moment."""
        texts: list[str] = self.page.locator(selector).evaluate_all(TEXTS_OF_ROWS, link)
        return texts

    def until(self, look: Callable[[], Any], expected: Any) -> None:
        """Wait until what `look` returns is what is expected."""
        deadline = time.monotonic() + WAIT_MS / 1000
        while (found := look()) != expected and time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
        assert found == expected

    def keep_screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")

    def settle(self) -> None:
        """Wait until the page has asked for nothing for a while."""
        deadline = time.monotonic() + WAIT_MS / 1000
        while self._asking or time.monotonic() - self._last_asked < QUIET_SECONDS:
            assert time.monotonic() < deadline, f"still waiting for {[one.url for one in self._asking]}"
            self.page.wait_for_timeout(50)

    def check(self, *, allowed: tuple[str, ...] = ()) -> None:
        """No trouble and no red notice on the page but the `allowed` (regular expressions)."""
        self.settle()
        left = [one for one in self.errors if not any(re.search(pattern, one) for pattern in allowed)]
        assert left == [], "\n".join(left)
        alerts = self.page.locator("[role=alert], [class*=notification-notice-error]").filter(visible=True)
        alert_texts = [text for alert in alerts.all_inner_texts() if (text := alert.strip())]
        left = [text for text in alert_texts if not any(re.search(pattern, text) for pattern in allowed)]
        assert left == [], "\n".join(left)

    def _note(self, error: str) -> None:
        if not any(noise in error for noise in IGNORED_MESSAGES):
            self.errors.append(error)

    def _on_console(self, message: ConsoleMessage) -> None:
        # A failed request is noted by its response, with more to read.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self._note(f"console: {message.text[:2000]}")

    def _on_request(self, request: Request) -> None:
        self._last_asked = time.monotonic()
        # Of a worker's script the browser never tells the end.
        if not request.url.endswith(".worker.js"):
            self._asking.add(request)

    def _on_response(self, response: Response) -> None:
        if response.status >= 400:
            self._note(f"{response.status} {response.request.method} {self._short(response.url)}")

    def _on_failure(self, request: Request) -> None:
        self._asking.discard(request)
        # Leaving a page cancels what it was still asking for.
        if request.failure != "net::ERR_ABORTED":
            self._note(f"failed {request.method} {self._short(request.url)}: {request.failure}")

    def _short(self, url: str) -> str:
        parts = urlsplit(url)
        return parts.path if url.startswith(self.url) else f"{parts.netloc}{parts.path}"


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, headless."""
    program = find_program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as home:
        # A home of its own: it keeps crash reports and settings there, whatever its profile is.
        environment = {**os.environ, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home}
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS), env=environment)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def new_tab(browser: Browser, url: str) -> Iterator[Tab]:
    """A tab in a fresh profile, as of somebody who comes for the first time."""
    context = browser.new_context(viewport={"width": 1500, "height": 1000}, accept_downloads=True)
    try:
        yield Tab(context.new_page(), url)
    finally:
        context.close()
