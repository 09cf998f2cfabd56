"""The database gone under a web process: every face says so in bounded time and invents nothing."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client

from ops import metrics, ping, status
from ops.config import versions

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["refuses", "hangs"])
def database_gone(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """refuses: no such socket. hangs: one that takes connections and never says a word."""
    folder = tmp_path / "pg"
    folder.mkdir()
    here = connection.settings_dict["HOST"]
    port = connection.settings_dict["PORT"] or "5432"
    listener = socket.socket(socket.AF_UNIX)
    if request.param == "hangs":
        listener.bind(str(folder / f".s.PGSQL.{port}"))
        listener.listen(16)
    monkeypatch.setattr(ping, "TIMEOUT_SEC", 0.2)
    connection.close()
    connection.settings_dict["HOST"] = str(folder)
    status.forget()
    versions.forget()
    try:
        yield
    finally:
        listener.close()
        connection.close()
        connection.settings_dict["HOST"] = here
        status.forget()
        versions.forget()
        if ping._asking is not None:
            ping._asking.exception(10)


@pytest.mark.usefixtures("database_gone")
def test_every_face_says_so() -> None:
    client = Client()
    health = client.get("/api/health")
    assert (health.status_code, health.json()["ok"]) == (503, False)

    healthz = client.get("/healthz")
    assert healthz.status_code == 503
    assert not any(healthz.json()[name] for name in ("ok", "leader", "journal_ok", "resume_ok", "config_ok"))

    ready = client.get("/live-readiness")
    body = ready.json()
    assert (ready.status_code, body["ready"], body["fencing_id"], body["mode"]) == (503, False, None, None)
    assert any(reason.startswith("database:") for reason in body["reasons"])

    overview = client.get("/api/ui/status/overview").json()
    assert overview["overall"] == "ERROR"
    assert (overview["mode"], overview["flags"], overview["hold"]) == (None, None, None)

    rows = {row["id"]: row for row in client.get("/api/ui/status/components").json()["components"]}
    assert rows["database"]["status"] in {"ERROR", "UNKNOWN"}
    assert rows["audit_chain"]["status"] == "UNKNOWN"
    assert rows["disk"]["status"] == "OK"

    text = metrics.exposition().decode()
    assert 'cryptobot_scrape_failed{source="desk"} 1.0' in text
    assert "cryptobot_build_info{" in text
    assert "cryptobot_mode{" not in text
