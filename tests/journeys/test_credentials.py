"""One's own credentials in the browser: second factor with its QR code, login, a token read once."""

from collections.abc import Iterator

import pytest
from django_otp.oath import totp
from playwright.sync_api import expect

from tests.desk import Desk
from tests.journeys.browser import Room, require_browser, room
from tests.journeys.team import Team, team
from tests.journeys.test_two_people import keep

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


def code(secret: str, step: int) -> str:
    """Each code is good once: the journey uses the one before, this one and the next."""
    from base64 import b32decode

    return f"{totp(b32decode(secret), t0=-step * 30):06}"


def test_enrol_log_in_vote_and_remove(us: Team, people: Room) -> None:
    carol = people.person("carol")
    carol.get_by_role("link", name="My credentials").click()
    expect(carol.locator("#content")).to_contain_text("not enrolled")
    carol.get_by_role("link", name="Enrol a second factor").click()
    carol.get_by_role("button", name="See what it would do").click()
    carol.get_by_role("button", name="Do it").click()
    expect(carol.locator(".qr svg")).to_be_visible()
    secret = carol.locator("p.digest").first.inner_text()
    keep(carol, "second-factor")
    carol.get_by_role("link", name="Confirm with a code").click()
    carol.fill("[name=code]", code(secret, -1))
    carol.get_by_role("button", name="Do it").click()
    expect(carol.locator("#content")).to_contain_text("enrolled")

    again = people.browser.new_context().new_page()
    again.goto(f"{us.desk.base_url}/admin/")
    again.fill("#id_username", "carol")
    again.fill("#id_password", us.people["carol"]["password"])
    again.click("[type=submit]")
    expect(again.locator(".errornote")).to_contain_text("code of your second factor")
    again.fill("#id_password", us.people["carol"]["password"])
    again.fill("#id_totp", code(secret, 0))
    again.click("[type=submit]")
    expect(again.locator("#waiting")).to_be_visible()

    again.goto(f"{us.desk.base_url}/admin/act/ops.remove_own_second_factor/")
    again.fill("[name=code]", code(secret, 1))
    again.get_by_role("button", name="Do it").click()
    expect(again.locator("#content")).to_contain_text("not enrolled")


def test_a_token_is_read_once_and_revoked(us: Team, people: Room) -> None:
    bob = people.person("bob")
    bob.goto(f"{us.desk.base_url}/admin/act/ops.issue_token/")
    bob.fill("[name=name]", "reporting")
    bob.fill("[name=scopes]", "read")
    bob.get_by_role("button", name="See what it would do").click()
    bob.get_by_role("button", name="Do it").click()
    expect(bob.locator("#content")).to_contain_text("reporting")
    keep(bob, "my-credentials")
    bob.get_by_role("button", name="Show it once").click()
    text = bob.locator("p.digest").inner_text()
    assert len(text) >= 64
    bob.goto(f"{us.desk.base_url}/admin/me/")
    assert text not in bob.content()
    bob.get_by_role("link", name="Revoke").first.click()
    bob.get_by_role("button", name="See what it would do").click()
    bob.get_by_role("button", name="Do it").click()
