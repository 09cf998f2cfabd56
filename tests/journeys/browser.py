"""A real browser for journeys: Debian's Chromium, headless, one context per person.

Whatever a page prints to the console as an error, every CSP violation and every answer of 500 and above is a
failure of the journey, wherever it happens.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.desk import Desk

CHROMIUM = shutil.which("chromium")
#: What Chromium must not do on a machine without internet, where it tries at every start.
_QUIET = ["--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"]


def require_browser() -> str:
    if CHROMIUM is None and not os.environ.get("REQUIRE_BROWSER"):
        pytest.skip("no chromium on this machine: the browser journeys need it (apt-get install chromium)")
    assert CHROMIUM, "REQUIRE_BROWSER is set and there is no chromium"
    return CHROMIUM


class Room:
    """People at their browsers, in front of one desk."""

    def __init__(self, browser: Browser, desk: Desk) -> None:
        self.browser, self.desk, self.faults = browser, desk, list[str]()

    def person(self, name: str, **context: object) -> Page:
        """Logged in at the admin's first page."""
        page = self.browser.new_context(viewport={"width": 1366, "height": 768}, **context).new_page()  # type: ignore[arg-type]
        page.on("console", lambda m: self._fault(name, m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: self._fault(name, str(e)))
        page.on("response", lambda r: self._fault(name, f"{r.status} {r.url}") if r.status >= 500 else None)
        page.goto(f"{self.desk.base_url}/admin/")
        page.fill("#id_username", name)
        page.fill("#id_password", self.desk.people()[name]["password"])
        page.click("[type=submit]")
        return page

    def _fault(self, name: str, what: str) -> None:
        self.faults.append(f"{name}: {what}")


@contextmanager
def room(desk: Desk) -> Iterator[Room]:
    root = ["--no-sandbox"] if os.getuid() == 0 else []  # Chromium's sandbox does not run as root
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=require_browser(), args=[*_QUIET, *root])
        people = Room(browser, desk)
        yield people
        browser.close()
    assert people.faults == []
