"""Pages speak Russian and English; REST, audit and the command line speak one language."""

import pytest
from django.test import Client

from ops import checklist
from ops.models import AuditEntry
from tests.factories import PASSWORD, ask, person, submit

pytestmark = pytest.mark.usefixtures("house", "own_checklist")


@pytest.fixture
def bob() -> Client:
    client = Client()
    client.force_login(person("bob"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def in_russian(client: Client, path: str) -> str:
    client.post("/i18n/setlang/", {"language": "ru"})
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_request_is_read_in_russian(bob: Client) -> None:
    request = ask("alice", "ops.safe_mode", enabled=False)
    page = in_russian(bob, f"/admin/ops/approvalrequest/{request.pk}/change/")
    assert '<html lang="ru"' in page
    for word in ("Что изменится", "Подтвердить", "Отклонить", "дайджест", "осталось", "ждёт"):
        assert word in page
    for word in ("What changes", "Approve<", "Reject<", "Votes (quorum"):
        assert word not in page
    assert "SAFE_MODE" in page  # a term of the desk


def test_the_queue_and_what_one_may_do_in_russian(bob: Client) -> None:
    ask("alice", "ops.safe_mode", enabled=False)
    page = in_russian(bob, "/admin/")
    for word in ("Ждёт меня", "Запуск", "Сразу прекратить открывать новый риск."):
        assert word in page
    assert "Waiting for me" not in page


PAGES = {
    "/admin/": ("Approval requests", "Hold causes", "Trading", "risk up", " min "),
    "/admin/ops/approvalrequest/": ("Requested by", "Execution state", ">Pending<", "Select "),
    "/admin/ops/incident/": ("Opened at", "Severity", "Last seen at"),
    "/admin/ops/user/": ("Username", "Superuser", "Last login"),
    "/admin/trading/orderintent/": ("Order intents", "order intent", "Select "),
    "/admin/checklist/": ("Resume checklist", "The audit chain holds", "SAFE_MODE on"),
    "/admin/act/ops.resume/": ("See what it would do", "leave HOLD", "Why can"),
    "/admin/me/": ("My tokens", "Second factor", "Log out"),
}


@pytest.mark.parametrize("path", PAGES)
def test_no_page_keeps_an_english_label_in_russian(bob: Client, path: str) -> None:
    ask("alice", "ops.safe_mode", enabled=False)
    submit("alice", "ops.open_incident", severity="P2", component="execution", summary="a drill")
    english = bob.get(path).content.decode()
    russian = in_russian(bob, path)
    assert [label for label in PAGES[path] if label not in english] == []
    assert [label for label in PAGES[path] if label in russian] == []
    assert "HOLD" in russian


def test_an_incident_is_read_in_russian(bob: Client) -> None:
    opened = submit("alice", "ops.open_incident", severity="P2", component="execution", summary="a drill")
    page = in_russian(bob, f"/admin/ops/incident/{opened.body['result']['incident_id']}/change/")
    for word in ("<strong>открыт</strong>", "Принять инцидент в работу", "a drill"):
        assert word in page
    assert "ops.acknowledge_incident<" not in page


def test_the_language_is_chosen_before_logging_in() -> None:
    page = in_russian(Client(), "/admin/login/")
    assert '<html lang="ru"' in page
    assert "Войти" in page
    assert 'value="en"' in page


def test_a_refused_resume_leads_to_the_checklist(bob: Client) -> None:
    checklist.register(checklist.Item("switch", "Switch", lambda _: (False, "it is red")))
    page = bob.post("/admin/act/ops.resume/", {"step": "review", "reason": "done"})
    assert page.status_code == 409
    assert page.content.decode().count('href="/admin/checklist/"') == 2  # banner and refusal


def test_the_checklist_says_line_by_line_why_not(bob: Client) -> None:
    assert "Ask to resume" in bob.get("/admin/checklist/").content.decode()
    checklist.register(checklist.Item("switch", "Switch", lambda _: (False, "it is red")))
    page = bob.get("/admin/checklist/").content.decode()
    assert "it is red" in page
    assert "Ask to resume" not in page
    assert "Цепочка аудита цела" in in_russian(bob, "/admin/checklist/")


def test_programs_are_answered_in_one_language(bob: Client) -> None:
    bob.post("/i18n/setlang/", {"language": "ru"})
    answer = bob.post(
        "/api/ui/resume_request", {}, content_type="application/json", headers={"Accept-Language": "ru"}
    )
    assert answer.json()["detail"] == "ops.resume needs a reason"
    assert answer.headers["Content-Language"] == "en"
    assert "needs a reason" in str(AuditEntry.objects.latest("seq").after)


def test_words_of_django_and_drf_stay_english_for_programs() -> None:
    anonymous = Client(headers={"Accept-Language": "ru"})
    answers = [anonymous.get("/api/ui/approvals"), anonymous.put("/api/auth/login")]
    assert [answer.status_code for answer in answers] == [401, 405]
    assert all(answer.content.isascii() for answer in answers)


def test_what_a_russian_page_asks_for_is_on_record_in_english(bob: Client) -> None:
    person("bob", password=PASSWORD)
    bob.force_login(person("bob"), backend="django.contrib.auth.backends.ModelBackend")
    bob.post("/i18n/setlang/", {"language": "ru"})
    path = "/admin/act/ops.change_own_password/"
    bob.post(path, {"token": "one", "old": PASSWORD, "new": "password"})
    entry = AuditEntry.objects.latest("seq")
    assert (entry.action, entry.verdict) == ("ops.change_own_password", "refused")
    assert "too common" in str(entry.after)
