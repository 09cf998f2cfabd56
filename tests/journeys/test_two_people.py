"""Two people at two browsers: one asks, the other reads what was asked and decides (spec 3.2.10, 6.3).

`SCREENSHOTS=docs/screenshots pytest tests/journeys/test_two_people.py` keeps the pages.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.desk import Desk
from tests.journeys.browser import Room, require_browser, room
from tests.journeys.team import Team, team

pytestmark = pytest.mark.desk


@pytest.fixture
def us(desk: Desk) -> Iterator[Team]:
    require_browser()
    with team(desk) as people:
        yield people


@pytest.fixture
def people(us: Team) -> Iterator[Room]:
    with room(us.desk) as at_browsers:
        yield at_browsers


def keep(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def ask_for_launch(alice: Page) -> str:
    """Through form and confirmation; the address of the request."""
    alice.get_by_role("link", name="Launch", exact=True).click()
    alice.fill("[name=reason]", "books are calm, both venues answer")
    alice.get_by_role("button", name="See what it would do").click()
    expect(alice.locator("#content")).to_contain_text("1 other person must approve")
    keep(alice, "launch-confirm-operator")
    alice.get_by_role("button", name="Ask for approval").click()
    return alice.url


def test_ask_read_approve_and_stop(us: Team, people: Room) -> None:
    alice, bob = people.person("alice"), people.person("bob")
    request = ask_for_launch(alice)
    expect(alice.locator("#content")).not_to_contain_text("Approve")  # nobody approves their own
    keep(alice, "approval-requester")

    bob.reload()
    waiting = bob.locator("#waiting")
    expect(waiting).to_contain_text("ops.launch")
    keep(bob, "queue-approver")
    waiting.get_by_role("link").first.click()
    assert bob.url == request
    shown = bob.locator("#content")
    for words in ("alice", "books are calm, both venues answer", "SAFE_MODE", "min", "digest"):
        expect(shown).to_contain_text(words)
    assert re.search(r"[0-9a-f]{64}", shown.inner_text())
    keep(bob, "approval-approver")
    bob.fill("#approve-comment", "read and agreed")
    bob.get_by_role("button", name="Approve").click()
    expect(shown).to_contain_text("executed")
    keep(bob, "approval-executed")
    assert us.alice.get("/api/ui/state")["flags"]["MODE"] == "RUN"

    alice.goto(f"{us.desk.base_url}/admin/")
    expect(alice.locator("#asked")).to_contain_text("nothing that is still open")
    alice.goto(f"{us.desk.base_url}/admin/act/ops.hold/")  # one person, one step
    alice.get_by_role("button", name="See what it would do").click()
    alice.get_by_role("button", name="Do it").click()
    assert us.alice.get("/api/ui/state")["flags"]["MODE"] == "HOLD"


def test_reject_says_why_and_ends_it(us: Team, people: Room) -> None:
    alice, bob = people.person("alice"), people.person("bob")
    request = ask_for_launch(alice)
    bob.goto(request)
    bob.fill("#reject-comment", "not before the funding instant")
    bob.get_by_role("button", name="Reject").click()
    alice.goto(request)
    expect(alice.locator("#content")).to_contain_text("rejected")
    expect(alice.locator("#content")).to_contain_text("not before the funding instant")
    assert us.alice.get("/api/ui/state")["flags"]["MODE"] == "HOLD"


def test_a_viewer_sees_everything_and_is_offered_nothing(us: Team, people: Room) -> None:
    request = ask_for_launch(people.person("alice"))
    victor = people.person("victor")
    victor.goto(request)
    expect(victor.locator("#content")).to_contain_text("books are calm")
    assert victor.locator("#content form").count() == 0
    us.alice.post(f"/api/ui/approvals/{request.rstrip('/').split('/')[-2]}/cancel")


@pytest.mark.parametrize(("language", "red"), [("en", "red"), ("ru", "красная")])
def test_every_control_page_in_both_languages(us: Team, people: Room, language: str, red: str) -> None:
    """Queue, request with diff and digest, checklist and incident: as the second person sees them."""
    request = ask_for_launch(people.person("alice"))
    bob = people.person("bob")
    bob.locator(f".languages button[value={language}]").click()
    assert bob.locator("html").get_attribute("lang") == language
    expect(bob.locator("#waiting")).to_contain_text("ops.launch")
    keep(bob, f"{language}/queue")
    bob.goto(request)
    expect(bob.locator("#content .digest").first).to_be_visible()
    keep(bob, f"{language}/approval")

    incident = open_p0(us)
    bob.goto(f"{us.desk.base_url}/admin/checklist/")
    expect(bob.locator(".checklist .badge-stop")).to_have_text(re.compile(red))
    keep(bob, f"{language}/checklist")
    bob.goto(f"{us.desk.base_url}/admin/ops/incident/{incident}/change/")
    expect(bob.locator("#content .errornote")).to_be_visible()
    keep(bob, f"{language}/incident")

    us.alice.post("/api/v1/actions/ops.acknowledge_root_cause", incident_id=incident, text="it was a drill")
    us.alice.post(f"/api/ui/approvals/{request.rstrip('/').split('/')[-2]}/cancel")


def open_p0(us: Team) -> str:
    """Nobody resumes before its root cause is acknowledged."""
    opened = us.alice.post(
        "/api/v1/actions/ops.open_incident",
        severity="P0",
        component="execution",
        summary="drill: a fill on okx that no journal of ours knows",
        reason="drill",
    )
    return str(opened["result"]["incident_id"])
