"""Every alarm says what it is in both languages, and the document is the catalogue's."""

import ast
import re
from dataclasses import fields

import pytest
from django.conf import settings

from cryptobot.env import BASE_DIR
from ops.incidents import catalogue
from ops.incidents.catalogue import ALARMS, Alarm, Text
from ops.models import Incident

ROWS = list(ALARMS.values())


@pytest.mark.parametrize("alarm", ROWS, ids=lambda a: a.code)
def test_a_row_is_whole(alarm: Alarm) -> None:
    assert alarm.severity in Incident.Severity.values
    assert 0 < len(alarm.component) <= 64
    assert re.fullmatch(r"[1-9]", alarm.runbook), "a section of the runbook"
    texts = [value for f in fields(alarm) if isinstance(value := getattr(alarm, f.name), Text)]
    assert len(texts) == 4
    for text in texts:
        assert text.en.isascii()
        assert re.search("[а-яё]", text.ru)
        assert all(said.strip() == said for said in (text.en, text.ru))


def test_the_document_is_current() -> None:
    found = (settings.BASE_DIR / "docs" / "alarms.md").read_text(encoding="utf-8")
    assert found == catalogue.document(), "manage.py incident catalogue --write"
    for alarm in ROWS:
        assert f"## {alarm.code}\n" in found


def test_a_code_that_there_is_not() -> None:
    with pytest.raises(LookupError, match="accepted: "):
        catalogue.find("nonsense")


def test_every_code_is_raised_somewhere_and_no_other() -> None:
    texts = set()
    for app in ("ops", "risk", "leadership", "trading"):
        for path in (BASE_DIR / app).rglob("*.py"):
            if path.name != "catalogue.py":
                tree = ast.walk(ast.parse(path.read_text()))
                texts |= {n.value for n in tree if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    assert set(ALARMS) - {catalogue.MANUAL} <= texts
