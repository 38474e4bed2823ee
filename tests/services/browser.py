"""A real Chromium, the machine's own, and a page of it for a test to look at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = ("chromium", "chromium-browser", "google-chrome")
# runs in a container, and talks to nobody but the page
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The path of the machine's Chromium; skips visibly where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("this machine has no Chromium (Debian: apt-get install chromium)")
    return Path(found)


@pytest.fixture
def browser_page(chromium: Path) -> Iterator[Page]:
    """An empty page, as large as a laptop's screen, in a browser that only this test uses."""
    # not for the whole session: while it is open, asyncio.run fails in every test of this process
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        try:
            yield browser.new_page(viewport={"width": 1440, "height": 900})
        finally:
            browser.close()
