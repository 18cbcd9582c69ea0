"""A headless Chromium for the tests of the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.server.living import until

PLACES = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome")


def chromium(config: pytest.Config) -> str:
    """Where Chromium is. Without one the test is skipped, and says so whatever pytest is told to show."""
    found = next((place for name in PLACES if name and (place := shutil.which(name))), None)
    if found is None:
        reason = (
            "NO CHROMIUM: the web page is NOT tested. Install it (apt-get install chromium), or name it in $CHROMIUM."
        )
        capture = config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(f"\n{reason}", flush=True)
        pytest.skip(reason)
    return found


class Page:
    """A page that remembers what its console said; `fine` fails where that was a fault."""

    def __init__(self, page: Any, url: str) -> None:
        self.page, self.url = page, url
        self.faults: list[str] = []
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("dialog", lambda dialog: self._heard("error", f"a dialog: {dialog.message}") or dialog.dismiss())

    def _heard(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "Failed to load resource" not in text:  # what the API refused
            self.faults.append(text)

    def open(self, part: str = "translate") -> Any:
        self.page.goto(f"{self.url}/#/{part}")
        self.page.locator(f"#{part}").wait_for()
        wait(self.page, "!document.querySelector('#main').hasAttribute('aria-busy')")
        return self.page

    def fine(self) -> None:
        assert not self.faults, self.faults


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Page]:
    """A page in a session of its own, which must not have complained at the end."""
    context = browser.new_context(**{"viewport": {"width": 1180, "height": 820}, **options})
    context.set_default_timeout(20_000)
    try:
        one = Page(context.new_page(), url)
        yield one
        one.fine()
    finally:
        context.close()


def wait(page: Any, condition: str) -> None:
    """Until an expression is true. Playwright's own way needs `unsafe-eval`, which the page does not allow."""
    until(lambda: page.evaluate(condition), 20.0)
