"""The page at /docs, in a real browser against a real server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.support.processes import Server, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-component-update",
]

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("--data", tmp_path_factory.mktemp("data")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """A page, with everything it asked for and complained of."""

    def __init__(self, browser: object, url: str) -> None:
        self.page = browser.new_page(viewport={"width": 1440, "height": 900})
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", self._listen)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)

    def _listen(self, message: object) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@pytest.fixture
def visit(browser: object, server: Server) -> Iterator[Visit]:
    visit = Visit(browser, f"{server.url}/docs")
    yield visit
    visit.page.close()


def test_it_shows_every_section_and_asks_nobody_else(visit: Visit, server: Server) -> None:
    for section in ("files", "uploads", "batches", "models", "health"):
        visit.page.locator(f"[id=link-tag--{section}]").wait_for()
    visit.page.locator("[id$=batchGenerateContent]").first.click()
    visit.page.get_by_text("x-halfrate-deadline", exact=False).first.wait_for()
    foreign = [url for url in visit.asked if not url.startswith((f"{server.url}/", "data:", "blob:"))]
    assert foreign == []
    assert visit.complaints == []


def test_a_call_can_be_tried(visit: Visit, server: Server) -> None:
    visit.page.locator("[id$=countTokens]").first.click()
    visit.page.get_by_role("button", name="TRY").first.click()
    visit.page.get_by_text("OK:200").wait_for()
    assert any(url.startswith(f"{server.url}/v1beta/models/pocket-1:countTokens") for url in visit.asked)
    assert visit.complaints == []
