"""The admin as people use it: windows on rows, forms for actions, and nothing that changes on GET."""

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from ops import desk
from ops.admin_base import ReadOnly
from ops.models import ApprovalRequest, AuditEntry, HoldCause, Mode
from tests import factories
from tests.factories import PASSWORD, ask, person, resume, submit, vote

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


@pytest.fixture
def client() -> Client:
    return Client(enforce_csrf_checks=True)


def as_(name: str) -> Client:
    client = Client()
    client.force_login(person(name), backend="django.contrib.auth.backends.ModelBackend")
    return client


def page(client: Client, path: str, status: int = 200) -> str:
    answer = client.get(path)
    assert answer.status_code == status, answer.content[:500]
    return answer.content.decode()


def text(html: str) -> str:
    """What a person reads, with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


class Page(HTMLParser):
    """Forms with their fields, and everything a strict CSP would refuse."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, Any]] = []
        self.inline: list[str] = []
        self._tag = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._tag = tag
        if "style" in given or any(name.startswith("on") for name in given) or tag == "style":
            self.inline.append(f"<{tag} {given}>")
        if tag == "script" and "src" not in given:
            self.inline.append("<script>")
        if tag == "form":
            self.forms.append({"action": given.get("action"), "method": given.get("method"), "fields": {}})
        elif tag in {"input", "select", "textarea"} and self.forms and given.get("name"):
            self.forms[-1]["fields"][given["name"]] = given.get("value") or ""

    def form(self, **of: str) -> dict[str, Any]:
        """The form with these hidden fields, or whose action ends so."""
        return next(
            f
            for f in self.forms
            if all(f["fields"].get(k) == v for k, v in of.items() if k != "action")
            and (f["action"] or "").endswith(of.get("action", ""))
        )


ACT_HOLD = "/admin/act/ops.hold/"
ACT_SAFE = "/admin/act/ops.safe_mode/"


def request_page(request: ApprovalRequest) -> str:
    return f"/admin/ops/approvalrequest/{request.pk}/change/"


# --- coming in -------------------------------------------------------------------


def test_login_goes_through_a_form_and_is_on_record(client: Client) -> None:
    person("alice", password=PASSWORD)
    html = page(client, "/admin/login/")
    assert Page(html).inline == []
    token = Page(html).form(action="/admin/login/")["fields"]["csrfmiddlewaretoken"]
    wrong = {"username": "alice", "password": "wrong", "csrfmiddlewaretoken": token}
    assert client.post("/admin/login/", wrong).status_code == 200
    assert AuditEntry.objects.latest("seq").code == "auth.failed"
    right = wrong | {"password": PASSWORD, "next": "/admin/"}
    assert client.post("/admin/login/", right).status_code == 302
    entry = AuditEntry.objects.latest("seq")
    assert (entry.action, entry.actor_name, entry.source, entry.verdict) == (
        "auth.login",
        "alice",
        "admin",
        "executed",
    )
    assert page(client, "/admin/")


def test_without_a_login_there_is_only_the_login(client: Client) -> None:
    for path in ("/admin/", ACT_HOLD, "/admin/ops/auditentry/"):
        assert client.get(path).status_code == 302
    assert client.post(ACT_HOLD, {"step": "do", "input": "{}"}).status_code in {302, 403}
    assert not HoldCause.objects.exists()


def test_a_post_without_the_token_is_refused(client: Client) -> None:
    client.force_login(person("alice"), backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(ACT_HOLD, {"step": "do", "input": "{}"}).status_code == 403
    assert not HoldCause.objects.exists()


# --- the first page ----------------------------------------------------------------


def test_the_first_page_says_what_the_desk_may_do_and_why_not_more() -> None:
    submit("bob", "ops.hold", reason="lunch <b>")
    shown = text(page(as_("alice"), "/admin/"))
    assert "paper ■ HOLD ▼ SAFE_MODE on" in shown
    assert "■ open operator : lunch &lt;b&gt;" in shown
    resume()
    factories.safe_mode_off()
    shown = text(page(as_("alice"), "/admin/"))
    assert "paper ● RUN ▲ SAFE_MODE off" in shown
    assert re.search(r"as of \d\d:\d\d:\d\d UTC", shown)


def test_queues_are_each_person_s_own() -> None:
    ask("alice", "ops.safe_mode", enabled=False)
    expected = {"alice": (0, 1), "bob": (1, 0), "rita": (1, 0), "victor": (0, 0)}
    for name, (waiting, asked) in expected.items():
        shown = text(page(as_(name), "/admin/"))
        assert f"Waiting for me ({waiting})" in shown
        assert f"Asked by me ({asked})" in shown
    shown = text(page(as_("bob"), "/admin/"))
    assert "ops.safe_mode · desk ▲ pending alice: a reason" in shown
    assert re.search(r"1[45] min( \d\d s)? left, until", shown)


def test_what_one_may_do_is_offered_to_each() -> None:
    shown = page(as_("alice"), "/admin/")
    for name in ("ops.hold", "ops.resume", "ops.safe_mode", "trading.flatten"):
        assert f'href="/admin/act/{name}/"' in shown
    shown = page(as_("victor"), "/admin/")
    assert "/admin/act/" not in shown
    assert "You may look at everything and change nothing." in shown


# --- an action -----------------------------------------------------------------------


def test_an_action_is_a_form_then_a_confirmation_then_done() -> None:
    client = as_("alice")
    form = Page(page(client, ACT_HOLD)).form(step="review")
    assert form["method"] == "post"
    assert set(form["fields"]) == {"csrfmiddlewaretoken", "token", "step", "reason", "scope", "key"}
    confirm = client.post(ACT_HOLD, {"step": "review", "scope": "desk", "reason": "lunch"})
    assert confirm.status_code == 200
    assert "Happens at once" in text(confirm.content.decode())
    assert not HoldCause.objects.exists()  # nothing yet
    assert not AuditEntry.objects.filter(action="ops.hold").exists()
    fields = Page(confirm.content.decode()).form(step="do")["fields"]
    done = client.post(ACT_HOLD, fields, follow=True)
    assert "HOLD: executed (audit entry" in text(done.content.decode())
    entry = AuditEntry.objects.latest("seq")
    assert (entry.actor_name, entry.source, entry.reason, entry.action) == (
        "alice",
        "admin",
        "lunch",
        "ops.hold",
    )


def test_a_form_is_carried_out_once_however_often_it_is_sent() -> None:
    client = as_("alice")
    confirm = client.post(ACT_HOLD, {"step": "review", "reason": "lunch"}).content.decode()
    fields = Page(confirm).form(step="do")["fields"]
    assert len(fields["token"]) == 32
    first, again = (client.post(ACT_HOLD, fields, follow=True).content.decode() for _ in range(2))
    assert HoldCause.objects.count() == 1
    assert "HOLD: executed (audit entry" in text(first)
    assert text(first) == text(again)
    other = client.post(ACT_HOLD, {**fields, "reason": "another"}).content.decode()
    assert "idempotency.mismatch: " in text(other)
    lost = client.post(ACT_HOLD, {**fields, "token": ""}).content.decode()
    assert "form.token: " in text(lost)
    assert HoldCause.objects.count() == 1


def test_a_voter_may_take_the_vote_back() -> None:
    factories.make_desk(quorum=2)
    request = ask("alice", "ops.safe_mode", enabled=False)
    vote("bob", request)
    bob = as_("bob")
    form = Page(page(bob, request_page(request))).form(action="/withdraw/")
    shown = text(bob.post(form["action"], form["fields"], follow=True).content.decode())
    assert "○ withdrawn" in shown
    assert not request.votes.filter(withdrawn_at=None).exists()


def test_what_increases_risk_shows_the_change_and_becomes_a_request() -> None:
    client = as_("alice")
    confirm = client.post(ACT_SAFE, {"step": "review", "enabled": "false", "reason": "ready"})
    shown = text(confirm.content.decode())
    assert "Nothing happens yet: 1 other person must approve." in shown
    assert "What Before After SAFE_MODE true false" in shown
    fields = Page(confirm.content.decode()).form(step="do")["fields"]
    assert json.loads(fields["input"]) == {"enabled": False}
    answer = client.post(ACT_SAFE, fields)
    request = ApprovalRequest.objects.get()
    assert answer["Location"] == request_page(request)
    assert desk.get_state().safe_mode


@pytest.mark.parametrize(
    ("name", "path", "fields", "status", "code"),
    [
        ("victor", ACT_HOLD, {}, 403, "permission.denied"),
        ("alice", ACT_SAFE, {"enabled": ""}, 422, "input.invalid"),
        ("alice", ACT_SAFE, {"enabled": "false"}, 422, "reason.required"),
        ("alice", ACT_SAFE, {"enabled": "true", "reason": "x"}, 409, "safe_mode.unchanged"),
        ("alice", "/admin/act/trading.close/", {"execution_id": "x"}, 422, "input.invalid"),
    ],
)
def test_a_refusal_names_its_code_and_keeps_what_was_typed(
    name: str, path: str, fields: dict[str, str], status: int, code: str
) -> None:
    answer = as_(name).post(path, {"step": "review", **fields})
    assert answer.status_code == status
    assert f"{code}: " in text(answer.content.decode())
    for value in fields.values():
        assert value in answer.content.decode()


@pytest.mark.parametrize("sent", ["", "nonsense", "[]", '{"enabled": "no"}', "[" * 5000])
def test_a_confirmation_that_was_tampered_with_is_refused_and_on_record(sent: str) -> None:
    answer = as_("alice").post(ACT_SAFE, {"step": "do", "input": sent, "reason": "x", "token": "1"})
    assert answer.status_code == 422
    assert AuditEntry.objects.latest("seq").code == "input.invalid"
    assert desk.get_state().safe_mode


def test_looking_changes_nothing() -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)
    before = AuditEntry.objects.count()
    bob = as_("bob")
    for verb in ("approve", "reject", "apply", "cancel"):
        assert bob.get(f"/admin/ops/approvalrequest/{request.pk}/{verb}/").status_code == 405
    page(bob, f"{ACT_SAFE}?enabled=false&reason=x&step=do")
    assert AuditEntry.objects.count() == before
    assert desk.get_state().safe_mode


def test_a_form_is_filled_from_the_query() -> None:
    fields = Page(page(as_("alice"), "/admin/act/trading.close/?execution_id=abc")).form(step="review")
    assert fields["fields"]["execution_id"] == "abc"


def test_an_unknown_action_leads_home() -> None:
    answer = as_("alice").get("/admin/act/ops.explode/", follow=True)
    assert "action.unknown: " in answer.content.decode()


# --- a request -----------------------------------------------------------------------


def test_an_approver_sees_everything_and_approves_what_was_shown() -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)
    bob = as_("bob")
    html = page(bob, request_page(request))
    shown = text(html)
    for word in ("alice", "a reason", "SAFE_MODE true false", request.digest, "▲ pending", "None yet."):
        assert word in shown
    form = Page(html).form(action="/approve/")
    assert form["fields"]["digest"] == request.digest
    done = bob.post(form["action"], form["fields"], follow=True)
    assert "the request is approved, executed" in text(done.content.decode())
    assert not desk.get_state().safe_mode
    assert AuditEntry.objects.filter(action="approval.approve", source="admin").count() == 1
    assert "/approve/" not in done.content.decode()


def test_buttons_are_those_that_could_work() -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)

    def offered(name: str) -> set[str]:
        html = page(as_(name), request_page(request))
        return {verb for verb in ("approve", "reject", "apply", "cancel") if f"/{verb}/" in html}

    assert offered("alice") == {"cancel"}
    assert offered("bob") == {"approve", "reject"}
    assert offered("victor") == set()
    vote("bob", request, "reject", comment="no")
    assert offered("alice") == offered("bob") == offered("carol") == set()


@pytest.mark.parametrize(
    ("name", "verb", "fields", "code"),
    [
        ("alice", "approve", {}, "vote.self"),
        ("bob", "approve", {"digest": "0" * 64}, "vote.digest"),
        ("bob", "approve", {"digest": ""}, "vote.digest"),
        ("bob", "reject", {}, "vote.comment_required"),
        ("bob", "cancel", {}, "cancel.stranger"),
        ("bob", "apply", {}, "apply.stranger"),
        ("victor", "approve", {}, "permission.denied"),
    ],
)
def test_a_refused_verb_says_its_code(name: str, verb: str, fields: dict[str, str], code: str) -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)
    answer = as_(name).post(
        f"/admin/ops/approvalrequest/{request.pk}/{verb}/",
        {"digest": request.digest, "token": "1", **fields},
        follow=True,
    )
    assert f"{code}: " in text(answer.content.decode())
    assert AuditEntry.objects.latest("seq").code == code
    request.refresh_from_db()
    assert request.state == "pending"
    assert desk.get_state().safe_mode


def test_its_requester_takes_it_back() -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)
    as_("alice").post(f"/admin/ops/approvalrequest/{request.pk}/cancel/", {"token": "1"})
    request.refresh_from_db()
    assert request.state == "cancelled"


def test_a_vote_whose_action_refuses_says_why() -> None:
    submit("alice", "ops.hold")
    request = ask("alice", "ops.resume")
    desk.raise_hold(source="maintenance", reason="x", scope=("venue", "okx"), resolved=True)
    answer = as_("bob").post(
        f"/admin/ops/approvalrequest/{request.pk}/approve/",
        {"digest": request.digest, "token": "1"},
        follow=True,
    )
    shown = text(answer.content.decode())
    assert "approval.stale: changed since it was asked for: before" in shown
    assert desk.get_state().mode == Mode.HOLD


# --- windows -----------------------------------------------------------------------

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)


def test_nothing_is_registered_that_could_be_edited() -> None:
    assert {m._meta.label for m in MODELS} >= {
        "ops.User",
        "auth.Group",
        "ops.ApprovalRequest",
        "ops.AuditEntry",
        "trading.Execution",
        "trading.OrderIntent",
        "risk.Reservation",
        "leadership.Lease",
    }
    assert all(isinstance(window, ReadOnly) for window in admin.site._registry.values())
    assert "knox" not in {m._meta.app_label for m in MODELS}


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m._meta.label)
def test_every_model_is_a_window(model: Any) -> None:
    root = as_("root")  # a superuser is no exception
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    html = page(root, reverse(f"{name}_changelist"))
    assert Page(html).inline == []
    assert 'name="action"' not in html
    assert page(root, reverse(f"{name}_changelist") + "?q=x" if _searchable(model) else "/admin/")
    assert root.get(reverse(f"{name}_add")).status_code == 403
    row = model.objects.first()
    if row is not None:
        change = reverse(f"{name}_change", args=[row.pk])
        html = page(root, change)
        assert Page(html).inline == []
        assert 'name="_save"' not in html
        assert root.post(change, {"_save": "1"}).status_code in {403, 405}
        assert root.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        assert model.objects.filter(pk=row.pk).exists()


def _searchable(model: Any) -> bool:
    return bool(admin.site._registry[model].search_fields)


def test_a_viewer_reads_the_journals_without_the_passwords() -> None:
    victor = as_("victor")
    person("alice", password=PASSWORD)
    shown = page(victor, f"/admin/ops/user/{person('alice').pk}/change/")
    assert person("alice").password not in shown
    assert "md5$" not in shown
    page(victor, "/admin/ops/auditentry/")


def test_pages_come_with_a_policy_that_runs_no_inline_script() -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)
    bob = as_("bob")
    for path in ("/admin/", ACT_SAFE, request_page(request), "/admin/ops/auditentry/"):
        answer = bob.get(path)
        policy = answer["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert Page(answer.content.decode()).inline == [], path
