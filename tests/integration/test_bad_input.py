"""Whatever is sent, the answer names what was wrong and what is accepted, and nothing changes.

Each case asserts the effect that did *not* happen: every control and trading table is as it was.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.apps import apps
from django.test import override_settings

from cryptobot.demo.venues import until
from ops import audit, desk
from ops.models import ApprovalRequest, AuditEntry, Token
from tests import factories
from tests.in_process import Caller, Reply, fresh_desk, paper_venues
from trading.models import Execution
from trading.services.plan_id import seal, unseal

PREVIEW, EXECUTE, FLATTEN = "/api/arb/preview", "/api/arb/execute", "/api/hedge/flatten"
HOLD, RESUME, APPROVALS = "/api/ui/hold", "/api/ui/resume_request", "/api/ui/approvals"
ACTIONS, LOGIN = "/api/v1/actions", "/api/auth/login"
NOBODY = "00000000-0000-0000-0000-000000000000"
People = dict[str, Caller]


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with paper_venues(tmp_path_factory.mktemp("venues")):
        yield


@pytest.fixture
def people(venues: None, db: None) -> People:
    return fresh_desk() | {"nobody": Caller()}


# --- what every refusal is held to --------------------------------------------


def everything() -> dict[str, list[dict[str, Any]]]:
    """Every row of the desk but the audit log; of people without what a login writes."""
    rows = {}
    for model in (*apps.get_app_config("ops").get_models(), *apps.get_app_config("trading").get_models()):
        if model.__name__ not in {"AuditEntry", "AuditHead"}:
            found = list(model._default_manager.order_by("pk").values())
            rows[model.__name__] = [{k: v for k, v in row.items() if k != "last_login"} for row in found]
    return rows | {"tokens": list(Token.objects.order_by("pk").values())}


class Refused:
    """One request that must be refused, and change nothing."""

    def __init__(self, who: Caller, method: str, path: str, raw: bytes = b"{}", **more: str) -> None:
        before, seq = everything(), _last_seq()
        self.request_id = f"test-{uuid4()}"
        self.reply = who.send(method, path, raw, **{"X_Request_ID": self.request_id} | more)
        self.entries = list(AuditEntry.objects.filter(seq__gt=seq))
        assert everything() == before
        self._is_a_problem()

    def _is_a_problem(self) -> None:
        reply = self.reply
        assert reply.headers["content-type"] == "application/problem+json"
        assert reply.headers["x-request-id"] == reply["request_id"] == self.request_id
        assert reply["status"] == reply.status
        assert reply["title"]
        assert reply["type"] == "about:blank"
        assert 10 < len(reply["detail"]) < 2000

    def is_(self, status: int, code: str, *says: str) -> "Refused":
        assert (self.reply.status, self.reply["code"]) == (status, code), self.reply.body
        for fragment in says:
            assert fragment in self.reply["detail"]
        return self

    def audited(self, action: str, who: Caller) -> None:
        """Somebody tried: exactly one entry says who, what, why not, and in which request."""
        (entry,) = self.entries
        assert who.user is not None
        assert (entry.action, entry.actor, entry.verdict) == (action, who.user, "refused")
        assert (entry.code, entry.request_id) == (self.reply["code"], self.request_id)

    def unaudited(self) -> None:
        assert self.entries == []


def _last_seq() -> int:
    return AuditEntry.objects.values_list("seq", flat=True).first() or 0


def posted(who: Caller, path: str, /, **body: Any) -> Refused:
    return Refused(who, "POST", path, json.dumps(body).encode())


# --- bodies -------------------------------------------------------------------

FIELDS = [  # body of a preview, status, code, what the detail must say
    (b'{"symbol": "DOGEUSDT"}', "pair.unknown", ["'DOGEUSDT'", "accepted: BTCUSDT, ETHUSDT, SOLUSDT"]),
    (b'{"symbol": "BTCUSDT", "pair": "ETHUSDT"}', "input.invalid", ["pair: ", "different things"]),
    (b'{"pair": {}}', "input.invalid", ["pair: {} is not a string"]),
    (b'{"symbol": 5}', "input.invalid", ["symbol: 5 is not a string"]),
    (b'{"symbol": null, "notional": true}', "input.invalid", ["notional: True is not a decimal number"]),
    (b'{"notional": 0}', "notional.invalid", ["notional 0", "above 0, at most 50000 USDT"]),
    (b'{"notional": "-0.01"}', "notional.invalid", ["notional -0.01", "above 0"]),
    (b'{"notional": 1e400}', "input.invalid", ["notional: 1E+400", "below 10^15"]),
    (b'{"notional": "1e400"}', "input.invalid", ["notional: '1e400'", "below 10^15"]),
    (b'{"notional": "NaN"}', "input.invalid", ["notional: 'NaN'"]),
    (b'{"notional": "-Infinity"}', "input.invalid", ["notional: '-Infinity'"]),
    (b'{"notional": 100000000000000000000}', "input.invalid", ["notional: 1000000", "below 10^15"]),
    (b'{"notional": 50000.01}', "notional.invalid", ["notional 50000.01", "at most 50000 USDT"]),
    (b'{"notional": "0.0000000000000000001"}', "input.invalid", ["at most 18 decimal places"]),
    (b'{"notional": "ten"}', "input.invalid", ["notional: 'ten' is not a decimal number"]),
    (b'{"notional": "1_000"}', "input.invalid", ["notional: '1_000' is not a decimal number"]),
    (b'{"notional": [2000]}', "input.invalid", ["notional: [2000] is not a decimal number"]),
    (b'{"max_slippage_bps": -1}', "slippage.invalid", ["max_slippage_bps -1", "accepted: 0 to 5"]),
    (b'{"min_edge_bps": -26}', "edge.invalid", ["min_edge_bps -26", "-25 or more"]),
    (b'{"long_venue": "mtgox"}', "venue.unknown", ["long_venue 'mtgox'", "binanceusdm, okx"]),
    (b'{"long_venue": "okx", "short_venue": "okx"}', "venue.same", ["both okx"]),
    (b'{"tif": "GTC"}', "input.invalid", ["tif: 'GTC'; accepted: IOC, FOK"]),
    (b'{"post_only": "yes"}', "input.invalid", ["post_only: 'yes' is not true or false"]),
    (b'{"intent": "borrow"}', "input.invalid", ["intent: 'borrow'; accepted: open, close"]),
    (b'{"leverage": 100}', "input.invalid", ["leverage: unknown field; accepted: intent, long_venue"]),
    (b'{"a": 1, "b": 2}', "input.invalid", ["a: unknown field", "b: unknown field"]),
]


@pytest.mark.parametrize(("raw", "code", "says"), FIELDS)
def test_a_field_that_does_not_fit_is_named(people: People, raw: bytes, code: str, says: list[str]) -> None:
    Refused(people["alice"], "POST", PREVIEW, raw).is_(422, code, *says).unaudited()


@pytest.mark.parametrize(("raw", "code", "says"), [f for f in FIELDS if b"intent" not in f[0]])
def test_so_it_is_by_execute_and_that_is_on_record(
    people: People, raw: bytes, code: str, says: list[str]
) -> None:
    """The same fields, the same words; asking to execute is an act, so the attempt is audited."""
    alice = people["alice"]
    refused = Refused(alice, "POST", EXECUTE, raw)
    # What is accepted is execute's own list of fields there.
    refused.is_(422, code, *[s.partition("; accepted: intent")[0] for s in says])
    refused.audited("trading.execute", alice)


NOT_BODIES = [
    (b"symbol=BTCUSDT", 400, "body.not_json", "not JSON"),
    (b'{"symbol": "BTC', 400, "body.not_json", "not JSON"),
    (b'{"symbol": "BTCUSDT",}', 400, "body.not_json", "not JSON"),
    (b"\x00", 400, "body.not_json", "not JSON"),
    (b"\xff\xfe\x00", 400, "body.not_json", "not JSON"),
    (b'{"notional": NaN}', 400, "body.not_json", "NaN is not a JSON number"),
    (b'{"notional": -Infinity}', 400, "body.not_json", "-Infinity is not a JSON number"),
    (b'{"notional": ' + b"9" * 5000 + b"}", 400, "body.not_json", "not JSON"),
    (b'{"reason": "a", "reason": "b"}', 400, "body.not_json", "named twice: 'reason'"),
    (b'{"reason": "a\\u0000b"}', 400, "body.not_json", "NUL"),
    (b'{"reason": "\\ud800"}', 400, "body.not_json", "half a surrogate pair"),
    (b'{"a\\u0000": 1}', 400, "body.not_json", "NUL"),
    (b"[" * 100_000, 400, "body.not_json", "nested too deeply"),
    (b"[]", 400, "body.not_object", "is a list; accepted: a JSON object"),
    (b'"BTCUSDT"', 400, "body.not_object", "is a str; accepted: a JSON object"),
    (b"null", 400, "body.not_object", "accepted: a JSON object"),
    (b'{"reason": "' + b"x" * 1_000_001 + b'"}', 413, "body.too_large", "1000000 bytes"),
]
POSTS = [PREVIEW, EXECUTE, HOLD, APPROVALS, f"{APPROVALS}/{NOBODY}/approve", f"{ACTIONS}/ops.hold", LOGIN]


@pytest.mark.parametrize(("raw", "status", "code", "says"), NOT_BODIES, ids=lambda v: str(v)[:24])
def test_what_is_no_json_object_reaches_nobody(
    people: People, raw: bytes, status: int, code: str, says: str
) -> None:
    for path in POSTS:
        Refused(people["alice"], "POST", path, raw).is_(status, code, says).unaudited()


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""]
)
def test_another_media_type(people: People, kind: str) -> None:
    refused = Refused(people["alice"], "POST", HOLD, b"reason=x", content_type=kind)
    refused.is_(415, "media.unsupported", "Accepted: application/json").unaudited()


def test_an_endless_form(people: People) -> None:
    """Django looks into forms for a CSRF token, before we refuse the media type."""
    alice = Caller(people["alice"].user, csrf=True)
    kind = "application/x-www-form-urlencoded"
    refused = Refused(alice, "POST", HOLD, b"reason=" + b"x" * 3_000_000, content_type=kind)
    assert refused.reply.status in {400, 403, 413, 415}


def test_a_host_that_is_not_ours(people: People) -> None:
    refused = Refused(people["nobody"], "GET", "/api/ui/orders", Host="bank.example")
    refused.is_(400, "request.suspicious", "bank.example")


def test_an_answer_that_we_cannot_give(people: People) -> None:
    Refused(people["alice"], "GET", "/api/ui/orders", Accept="text/html").is_(
        406, "media.not_acceptable", "Accepted: application/json"
    )


@pytest.mark.parametrize(
    ("method", "path", "accepted"),
    [
        ("PUT", PREVIEW, "GET, POST"),
        ("DELETE", PREVIEW, "GET, POST"),
        ("GET", EXECUTE, "POST"),
        ("GET", HOLD, "POST"),
        ("PATCH", APPROVALS, "GET, POST"),
        ("POST", "/api/ui/audit", "GET"),
        ("DELETE", "/api/ui/orders", "GET"),
    ],
)
def test_a_wrong_method(people: People, method: str, path: str, accepted: str) -> None:
    refused = Refused(people["alice"], method, path).is_(405, "method.not_allowed", f"Accepted: {accepted}")
    assert refused.reply.headers["allow"].startswith(accepted)
    refused.unaudited()


# --- reading ------------------------------------------------------------------


@pytest.mark.parametrize("cursor", ["x", "cD0lMDA=", "cD1hYmM=", "cj0xJnA9YWJj", "%ff", "%00", "Y" * 5000])
def test_a_cursor_that_is_not_ours(people: People, cursor: str) -> None:
    for path in ("orders", "fills", "executions", "approvals", "audit"):
        where = f"/api/ui/{path}?cursor={cursor}"
        Refused(people["victor"], "GET", where).is_(422, "cursor.invalid", "start without it").unaudited()


@pytest.mark.parametrize("limit", ["0", "-1", "abc", "501", "1e3", "9" * 5000])
def test_a_page_of_no_size(people: People, limit: str) -> None:
    Refused(people["victor"], "GET", f"/api/ui/orders?limit={limit}").is_(422, "limit.invalid", "1 to 500")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("orders?state=DONE", "'DONE'; accepted: INTENT_WRITTEN"),
        ("executions?state=open", "'open'; accepted: PLANNED"),
        ("approvals?state=%00", "state: NUL"),
        ("fills?venue=%00", "venue: NUL"),
        ("audit?actor=a%00b", "actor: NUL"),
    ],
)
def test_a_filter_that_cannot_be(people: People, query: str, says: str) -> None:
    Refused(people["victor"], "GET", f"/api/ui/{query}").is_(422, "filter.invalid", says)


@pytest.mark.parametrize(
    "path",
    ["/api/nope", "/api/ui/executions/1", "/api/ui/approvals/1", f"{APPROVALS}/{NOBODY[:-1]}/approve"],
)
def test_a_path_that_is_none(people: People, path: str) -> None:
    Refused(people["alice"], "GET", path).is_(404, "not_found", path)


@pytest.mark.parametrize("path", [f"/api/ui/executions/{NOBODY}", f"{FLATTEN}/{NOBODY}"])
def test_a_row_that_is_none(people: People, path: str) -> None:
    Refused(people["alice"], "GET", path).is_(404, "not_found", NOBODY)


@pytest.mark.parametrize("sent", ["two words", "a" * 65, "x\x7f", "<script>", ""])
def test_a_request_id_that_is_not_sane_is_not_echoed(people: People, sent: str) -> None:
    answer = people["alice"].get("/api/ui/orders", X_Request_ID=sent)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


# --- who ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"username": "alice", "password": "wrong"},
        {"username": "mallory", "password": "wrong"},
        {"username": "alice\u202e", "password": "x"},
    ],
)
def test_a_wrong_login_does_not_say_what_was_wrong(people: People, body: dict[str, str]) -> None:
    refused = posted(people["nobody"], LOGIN, **body).is_(401, "auth.failed", "wrong name or password")
    (entry,) = refused.entries
    assert (entry.action, entry.target, entry.verdict, entry.actor) == (
        "auth.login",
        body["username"],
        "refused",
        None,
    )
    assert body["password"] not in str((entry.before, entry.after, entry.reason, entry.target))
    assert "sessionid" not in people["nobody"].client.cookies


def test_somebody_who_left_cannot_log_in(people: People) -> None:
    alice = people["alice"].user
    assert alice is not None
    type(alice).objects.filter(pk=alice.pk).update(is_active=False)
    posted(people["nobody"], LOGIN, username="alice", password="alice's own password").is_(401, "auth.failed")
    Refused(people["alice"], "POST", HOLD).is_(401, "auth.required")


@pytest.mark.parametrize(
    "body",
    [{}, {"username": "alice"}, {"username": 1, "password": "x"}, {"username": "a", "password": "x" * 1001}],
)
def test_half_a_login_is_not_repeated_to_anybody(people: People, body: dict[str, Any]) -> None:
    refused = posted(people["nobody"], LOGIN, **body)
    refused.is_(422, "input.invalid", "accepted: username, password and totp").unaudited()
    assert "alice" not in refused.reply["detail"]


@pytest.mark.parametrize("path", ["/api/ui/orders", "/api/ui/audit", "/api/arb/edge", "/api/auth/me"])
def test_reading_needs_a_login(people: People, path: str) -> None:
    Refused(people["nobody"], "GET", path).is_(401, "auth.required", "/api/auth/login")


@pytest.mark.parametrize("path", [PREVIEW, EXECUTE, HOLD, FLATTEN, APPROVALS, f"{ACTIONS}/ops.hold"])
def test_acting_needs_a_login(people: People, path: str) -> None:
    Refused(people["nobody"], "POST", path).is_(401, "auth.required", "Authorization: Token").unaudited()


@pytest.mark.parametrize("token", ["Token", "Token x", "Token \xff\xfe", "Token a b", "Token " + "f" * 9999])
def test_a_token_that_is_none(people: People, token: str) -> None:
    Refused(people["nobody"], "GET", "/api/ui/orders", Authorization=token).is_(401, "auth.failed")


def test_a_session_without_the_csrf_token(people: People) -> None:
    alice = Caller(people["alice"].user, csrf=True)
    Refused(alice, "POST", HOLD).is_(403, "auth.csrf", "X-CSRFToken")
    assert desk.get_state().mode == "HOLD"


@pytest.mark.parametrize("who", ["victor", "audrey", "root", "rita"])
def test_who_may_not_trade_does_not(people: People, who: str) -> None:
    refused = posted(people[who], EXECUTE, symbol="BTCUSDT", reason="please")
    refused.is_(403, "permission.denied", f"{who} does not hold trading.execute")
    refused.audited("trading.execute", people[who])


# --- plans --------------------------------------------------------------------


@dataclass(frozen=True)
class SealedPlan:
    id: str
    digest: str


@pytest.fixture
def plan(people: People) -> SealedPlan:
    found = until("a viable plan", lambda: _viable(people["alice"]))["plan"]
    return SealedPlan(found["id"], found["digest"])


def _viable(who: Caller) -> Reply | None:
    preview = who.post(PREVIEW, symbol="BTCUSDT")
    return preview if preview["viable"] else None


def refused_plan(who: Caller, plan: SealedPlan, **more: Any) -> Refused:
    refused = posted(who, EXECUTE, plan_id=plan.id, digest=plan.digest, reason="test", **more)
    refused.audited("trading.execute", who)
    return refused


def test_a_plan_of_yesterday(people: People, plan: SealedPlan) -> None:
    terms = unseal(plan.id, max_age=timedelta(minutes=1))
    with time_machine.travel(datetime.now(UTC) - timedelta(days=1), tick=False):
        old = replace(plan, id=seal(terms))
    refused_plan(people["alice"], old).is_(409, "plan.expired", "older than 60 s: preview again")


@pytest.mark.parametrize("spoil", [lambda i: i[:-1], lambda i: "x" + i, lambda i: i.swapcase(), lambda i: ""])
def test_a_plan_that_was_altered(people: People, plan: SealedPlan, spoil: Any) -> None:
    altered = replace(plan, id=spoil(plan.id))
    refused_plan(people["alice"], altered).is_(422, "plan.invalid", "was altered: preview again")


def test_a_plan_of_another_desk(people: People, plan: SealedPlan) -> None:
    terms = unseal(plan.id, max_age=timedelta(minutes=1))
    with override_settings(SECRET_KEY="another desk's"):
        foreign = replace(plan, id=seal(terms))
    refused_plan(people["alice"], foreign).is_(422, "plan.invalid", "not issued by this desk")


@pytest.mark.parametrize("digest", ["", "0" * 64, None])
def test_a_plan_that_was_not_the_one_displayed(people: People, plan: SealedPlan, digest: Any) -> None:
    refused_plan(people["alice"], replace(plan, digest=digest)).is_(409, "plan.digest", "send the one")


def test_a_plan_and_other_bounds_beside_it(people: People, plan: SealedPlan) -> None:
    refused_plan(people["alice"], plan, notional="50000").is_(422, "input.invalid", "notional: not beside")


# --- two people ---------------------------------------------------------------


@pytest.fixture
def asked(people: People) -> dict[str, Any]:
    """Alice has asked to switch SAFE_MODE off."""
    reply = people["alice"].post(f"{ACTIONS}/ops.safe_mode", enabled=False, reason="test")
    assert reply.status == 202
    request: dict[str, Any] = reply["approval"]
    return request


def vote(who: Caller, request: dict[str, Any], verdict: str = "approve", **body: Any) -> Refused:
    refused = posted(who, f"{APPROVALS}/{request['id']}/{verdict}", **{"digest": request["digest"]} | body)
    refused.audited(f"approval.{verdict}", who)
    assert desk.get_state().safe_mode
    return refused


def test_nobody_approves_their_own_request(people: People, asked: dict[str, Any]) -> None:
    vote(people["alice"], asked).is_(403, "vote.self", "their own request")


@pytest.mark.parametrize("who", ["victor", "audrey", "root"])
def test_who_may_not_approve_does_not(people: People, asked: dict[str, Any], who: str) -> None:
    vote(people[who], asked).is_(403, "permission.denied", "ops.approve_safe_mode")


@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_a_vote_on_something_else(people: People, asked: dict[str, Any], digest: str) -> None:
    vote(people["bob"], asked, digest=digest).is_(409, "vote.digest", "read it again")


def test_a_vote_on_nothing_in_particular(people: People, asked: dict[str, Any]) -> None:
    vote(people["bob"], asked, digest=None).is_(422, "input.invalid", "digest: null is not accepted")
    vote(people["bob"], asked, votes=2).is_(422, "input.invalid", "votes: unknown field; accepted: comment")


def test_a_rejection_without_a_word(people: People, asked: dict[str, Any]) -> None:
    vote(people["bob"], asked, "reject", comment=" ").is_(422, "vote.comment_required", "comment")


def test_a_program_does_not_vote(people: People, asked: dict[str, Any]) -> None:
    with factories.arranged():
        row, token = Token.objects.create(people["bob"].user, scopes=[Token.EVERYTHING])
        audit.touch(row)
    program = Caller()
    program.client.defaults["HTTP_AUTHORIZATION"] = f"Token {token}"
    refused = posted(program, f"{APPROVALS}/{asked['id']}/approve", digest=asked["digest"])
    refused.is_(403, "vote.token", "log in as a person").audited("approval.approve", people["bob"])


@pytest.mark.parametrize("verdict", ["approve", "reject", "apply", "cancel"])
def test_a_request_that_nobody_made(people: People, verdict: str) -> None:
    body = {"digest": "0" * 64, "comment": "no"} if verdict in {"approve", "reject"} else {}
    refused = posted(people["bob"], f"{APPROVALS}/{NOBODY}/{verdict}", **body)
    refused.is_(404, "approval.unknown", NOBODY).audited(f"approval.{verdict}", people["bob"])


def test_asking_twice(people: People, asked: dict[str, Any]) -> None:
    again = posted(people["carol"], f"{ACTIONS}/ops.safe_mode", enabled=False, reason="me too")
    again.is_(409, "approval.open_exists", "already open").audited("ops.safe_mode", people["carol"])


def test_voting_after_the_end(people: People, asked: dict[str, Any]) -> None:
    done = people["bob"].post(f"{APPROVALS}/{asked['id']}/approve", digest=asked["digest"])
    assert done["status"] == "executed"
    late = posted(people["carol"], f"{APPROVALS}/{asked['id']}/approve", digest=asked["digest"])
    late.is_(409, "approval.closed", "approved").audited("approval.approve", people["carol"])
    taken_back = posted(people["alice"], f"{APPROVALS}/{asked['id']}/cancel")
    taken_back.is_(409, "approval.closed").audited("approval.cancel", people["alice"])


def test_taking_back_what_another_asked(people: People, asked: dict[str, Any]) -> None:
    refused = posted(people["bob"], f"{APPROVALS}/{asked['id']}/cancel")
    refused.is_(403, "cancel.stranger", "only its requester").audited("approval.cancel", people["bob"])


def test_applying_what_is_not_approved(people: People, asked: dict[str, Any]) -> None:
    refused = posted(people["alice"], f"{APPROVALS}/{asked['id']}/apply")
    refused.is_(409, "approval.not_applicable", "pending").audited("approval.apply", people["alice"])
    stranger = posted(people["carol"], f"{APPROVALS}/{asked['id']}/apply")
    stranger.is_(403, "apply.stranger").audited("approval.apply", people["carol"])


# --- actions ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ops.nope", "nope", "ops.hold%00", "ops.hold ", "%F0%9F%98%80", "x" * 300])
def test_an_action_that_is_none(people: People, name: str) -> None:
    refused = posted(people["alice"], f"{ACTIONS}/{name}").is_(404, "action.unknown", "no action is called")
    (entry,) = refused.entries
    assert (entry.verdict, entry.code, entry.actor) == ("refused", "action.unknown", people["alice"].user)


@pytest.mark.parametrize(
    ("body", "status", "code", "says"),
    [
        ({"action": "ops.nope"}, 404, "action.unknown", "'ops.nope'"),
        ({"action": 5}, 422, "input.invalid", "action must be a string; accepted: action, input, reason"),
        ({"action": "ops.hold", "now": 1}, 422, "input.invalid", "unknown: now; accepted: action"),
        ({"action": "ops.hold", "input": []}, 422, "input.invalid", "[] is not a JSON object"),
        ({"action": "ops.hold", "reason": {"a": 1}}, 422, "reason.invalid", "reason"),
        ({"action": "ops.safe_mode", "input": {"enabled": "no"}}, 422, "input.invalid", "enabled: 'no'"),
        ({"action": "ops.safe_mode", "input": {}}, 422, "input.invalid", "enabled: required"),
    ],
)
def test_a_submission_that_does_not_fit(
    people: People, body: dict[str, Any], status: int, code: str, says: str
) -> None:
    posted(people["alice"], APPROVALS, **body).is_(status, code, says)


@pytest.mark.parametrize("reason", [5, ["x"], "x" * 5000])
def test_a_reason_that_is_none(people: People, reason: Any) -> None:
    refused = posted(people["alice"], HOLD, reason=reason).is_(422, "reason.invalid", "4000 characters")
    refused.audited("ops.hold", people["alice"])


@pytest.mark.parametrize("reason", ["", "  "])
def test_starting_needs_a_reason(people: People, reason: str) -> None:
    for path, body in ((RESUME, {}), (f"{ACTIONS}/ops.safe_mode", {"enabled": False})):
        posted(people["alice"], path, **body, reason=reason).is_(422, "reason.required", "needs a reason")


def test_closing_what_is_not_there(people: People) -> None:
    where = f"{ACTIONS}/trading.close"
    unknown = posted(people["alice"], where, execution_id=NOBODY).is_(404, "execution.unknown", NOBODY)
    unknown.audited("trading.close", people["alice"])
    bad = posted(people["alice"], where, execution_id="latest")
    bad.is_(422, "input.invalid", "execution_id: 'latest' is not a UUID")


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ({"venue": "mtgox"}, "venue.unknown", "'mtgox'; accepted: binanceusdm, okx"),
        ({"symbol": "DOGEUSDT"}, "pair.unknown", "'DOGEUSDT'; accepted: BTCUSDT"),
        ({"venue": ["okx"]}, "input.invalid", "venue: ['okx'] is not a string"),
        ({"everything": True}, "input.invalid", "everything: unknown field; accepted: force, symbol, venue"),
    ],
)
def test_flattening_what_is_not_there(people: People, body: dict[str, Any], code: str, says: str) -> None:
    refused = posted(people["alice"], FLATTEN, **body).is_(422, code, says)
    refused.audited("trading.flatten", people["alice"])


# --- twice --------------------------------------------------------------------


def agreed(people: People, path: str, /, **body: Any) -> Reply:
    request = people["alice"].post(path, **body)["approval"]
    done = people["bob"].post(f"{APPROVALS}/{request['id']}/approve", digest=request["digest"])
    assert done.status in {200, 202}, done.body
    return done


def test_a_plan_is_executed_once_however_often_it_is_sent(people: People) -> None:
    """A double click is no error: the second answer is the first one, and nothing is added."""
    agreed(people, f"{ACTIONS}/ops.safe_mode", enabled=False, reason="test")
    agreed(people, RESUME, reason="test")
    plan = until("a viable plan", lambda: _viable(people["alice"]))["plan"]
    body = {"plan_id": plan["id"], "digest": plan["digest"], "reason": "test"}

    first, second = (people["alice"].post(EXECUTE, **body) for _ in range(2))
    assert (first.status, second.status) == (202, 202), second.body
    assert first["approval"]["id"] == second["approval"]["id"]
    assert ApprovalRequest.objects.filter(action="trading.execute").count() == 1

    approval = first["approval"]
    path = f"{APPROVALS}/{approval['id']}/approve"
    done = people["bob"].post(path, digest=approval["digest"])
    assert (done.status, done["status"]) == (202, "accepted"), done.body
    posted(people["bob"], path, digest=approval["digest"]).is_(409, "approval.closed")

    third = people["alice"].post(EXECUTE, **body)
    assert (third.status, third["execution_id"]) == (202, done["execution_id"])
    assert Execution.objects.count() == 1
