"""The check of the Russian catalogue turns red for what it is there for."""

import gettext
import io
from pathlib import Path

import pytest

from cryptobot.translations import Catalogue, compiled, problems, read, wanted, write

TEXTS = {"Approve": "", "%(left)s left": "", "one": "many"}
GOOD: Catalogue = {
    "Approve": ("", ["Подтвердить"]),
    "%(left)s left": ("", ["осталось %(left)s"]),
    "one": ("many", ["раз", "два", "пять", "пять"]),
}


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        (GOOD, []),
        ({k: v for k, v in GOOD.items() if k != "Approve"}, ["missing: 'Approve'"]),
        (GOOD | {"Gone": ("", ["Нет"])}, ["unused: 'Gone'"]),
        (GOOD | {"Approve": ("", [""])}, ["not translated: 'Approve'"]),
        (GOOD | {"one": ("many", ["раз"])}, ["not translated: 'one'"]),
        (GOOD | {"%(left)s left": ("", ["осталось"])}, ["lost a place: '%(left)s left'"]),
    ],
)
def test_what_is_wrong_is_named(entries: Catalogue, says: list[str]) -> None:
    assert problems(entries, TEXTS) == says


def test_what_is_written_is_read_and_python_s_gettext_understands_it(tmp_path: Path) -> None:
    odd = GOOD | {'a "quoted"\\ text': ("", ["текст\nв две строки"])}
    write(odd, tmp_path / "django.po")
    assert read(tmp_path / "django.po") == odd
    catalogue = gettext.GNUTranslations(io.BytesIO(compiled(odd)))
    assert catalogue.gettext("Approve") == "Подтвердить"
    assert [catalogue.ngettext("one", "many", n) for n in (1, 2, 5)] == ["раз", "два", "пять"]


def test_what_an_editor_wrapped_is_read_and_what_it_guessed_is_not(tmp_path: Path) -> None:
    (tmp_path / "django.po").write_text(
        'msgid ""\n"Approve"\nmsgstr ""\n"Под"\n"твердить"\n\n#, fuzzy\nmsgid "Reject"\nmsgstr "Проект"\n'
    )
    assert read(tmp_path / "django.po") == {"Approve": ("", ["Подтвердить"]), "Reject": ("", [""])}


def test_templates_code_and_registries_are_all_looked_at() -> None:
    texts = wanted()
    assert {
        "Votes (quorum %(need)s)",
        "Resume checklist",
        "Launch",
        "The audit chain holds",
        "pending",
    } <= set(texts)
