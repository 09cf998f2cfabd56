"""Looking changes nothing: GET on every URL of admin, API and pages, as a superuser."""

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from ops import audit
from ops.actions import registry
from ops.models import Incident, User
from tests import factories
from tests.in_process import fresh_desk, paper_venues

#: What a GET may write: the session's last use. Tables that a GET has no business with are not left out.
MAY_CHANGE = {"django_session"}


@pytest.fixture(scope="module")
def venues(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with paper_venues(tmp_path_factory.mktemp("looking")):
        yield


@pytest.fixture
def root(db: None, venues: None) -> Client:
    fresh_desk()
    with factories.arranged():
        user = User.objects.create(username="superuser", is_staff=True, is_superuser=True)
        audit.touch(user)
    factories.ask("alice", "ops.safe_mode", enabled=False)
    factories.vote("bob", factories.ask("alice", "ops.launch"))
    factories.submit("alice", "ops.hold", reason="so that there is a cause")
    factories.submit("alice", "ops.issue_token", name="bot", scopes="read")
    factories.submit("alice", "ops.open_incident", severity="P2", component="desk", summary="a drill")
    client = Client(raise_request_exception=False)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def checksums() -> dict[str, str]:
    """A digest of every table of the database, rows in a fixed order."""
    found = {}
    with connection.cursor() as cursor:
        tables = connection.introspection.get_table_list(cursor)
        for table in sorted(t.name for t in tables if t.name not in MAY_CHANGE):
            cursor.execute(f'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{table}" t')
            found[table] = cursor.fetchone()[0]
    return found


def patterns(resolver: URLResolver, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for each in resolver.url_patterns:
        route = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from patterns(each, route)
        else:
            yield route, each


def addresses() -> list[str]:
    """Every route with something that exists in its places."""
    routes = [route for route, _ in patterns(get_resolver())]
    found: set[str] = set()
    for route in routes:
        found |= set(_filled(route))
    return sorted(found)


def _filled(route: str) -> Iterator[str]:
    plain = "/" + route.replace("^", "").replace("$", "").replace("\\Z", "")
    if "<path:object_id>" in plain and plain.split("/")[2] in apps.app_configs:
        app, model = plain.split("/")[2:4]
        row = apps.get_model(app, model)._default_manager.order_by("pk").first()
        if row is not None:
            yield plain.replace("<path:object_id>", str(row.pk))
    elif "<str:name>" in plain:
        yield from (plain.replace("<str:name>", action.name) for action in registry.all_actions())
    elif "<uuid:request_id>" in plain:
        for request in apps.get_model("ops", "ApprovalRequest")._default_manager.all():
            yield plain.replace("<uuid:request_id>", str(request.pk))
    elif "<uuid:incident_id>" in plain:
        yield plain.replace("<uuid:incident_id>", str(Incident.objects.latest("opened_at").pk))
    elif "<" in plain or "(?P" in plain:
        yield plain.replace("<uuid:", "<").split("<")[0] + "00000000-0000-0000-0000-000000000000"
    else:
        yield plain


def test_get_on_every_url_changes_no_row(root: Client) -> None:
    urls = [url for url in addresses() if "/logout" not in url]
    assert len(urls) > 120
    assert reverse("admin:index") in urls
    before, statuses = checksums(), {}
    for url in urls:
        statuses[url] = root.get(url).status_code
    # /healthz and /live-readiness say "not yet": here are no other processes.
    assert {url for url, status in statuses.items() if status >= 500} <= {"/healthz", "/live-readiness"}
    after = checksums()
    assert [table for table in before if before[table] != after[table]] == []
    assert sum(status == 200 for status in statuses.values()) > 80


def test_the_checksum_sees_a_write(root: Client) -> None:
    before = checksums()
    root.post("/api/ui/hold", {}, content_type="application/json")
    after = checksums()
    assert {"ops_holdcause", "ops_auditentry"} <= {t for t in before if before[t] != after[t]}
