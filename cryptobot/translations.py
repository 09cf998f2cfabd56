"""The Russian catalogue, without gettext's binaries: `python -m cryptobot.translations [--write]`.

Every text that a page can show is in locale/ru/LC_MESSAGES/django.po: those of templates and of Python code,
and those that the registries hold (actions, their fields, the checklist, models). Checks by default; --write
adds what is missing with an empty translation, drops what is unused, and compiles the .mo.
"""

import ast
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CATALOGUE = ROOT / "locale" / "ru" / "LC_MESSAGES" / "django.po"
PACKAGES = ("cryptobot", "ops", "risk", "leadership", "trading")
FUNCTIONS = {"_", "gettext", "gettext_lazy", "ngettext"}
#: Words of states and of timelines, which pages show through `badge` and `line_kind`.
WORDS = (
    *("pending", "approved", "rejected", "cancelled", "expired", "voided", "not_run", "executed", "refused"),
    *("approve", "reject", "withdrawn", "open", "resolved", "closed", "acknowledged", "mitigated"),
    *(
        "opened",
        "raised",
        "raised again",
        "comment",
        "assigned",
        "shelved",
        "unshelved",
        "root cause",
        "left out",
    ),
    *("pending_approval", "accepted", "skipped", "dry_run"),
)
_STRING = r"""(u?'(?:[^'\\]|\\.)*'|u?"(?:[^"\\]|\\.)*")"""
_CALL = re.compile(rf"\b(?:n?gettext|_)\(\s*{_STRING}(?:\s*,\s*{_STRING})?")

HEADER = (
    "Project-Id-Version: cryptobot\nLanguage: ru\nMIME-Version: 1.0\n"
    "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n"
    "Plural-Forms: nplurals=4; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 && "
    "(n%100<12 || n%100>14) ? 1 : n%10==0 || (n%10>=5 && n%10<=9) || (n%100>=11 && n%100<=14)? 2 : 3);\n"
)
#: msgid → (plural or "", translations)
Catalogue = dict[str, tuple[str, list[str]]]


def wanted() -> dict[str, str]:
    """msgid → its plural, or empty."""
    found = dict.fromkeys(WORDS, "")
    for path in sorted((ROOT / "templates").rglob("*.html")):
        found |= dict(_of_template(path.read_text()))
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts and path != Path(__file__):
                found |= dict(_of_code(path.read_text()))
    return found | dict.fromkeys(_of_registries(), "")


def _of_template(text: str) -> Iterator[tuple[str, str]]:
    from django.utils.translation.template import templatize

    for one, many in _CALL.findall(templatize(text)):
        yield ast.literal_eval(one), ast.literal_eval(many or '""')


def _of_code(text: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            texts = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if texts:
                yield texts[0], texts[1] if node.func.id == "ngettext" and len(texts) > 1 else ""


def _of_registries() -> Iterator[str]:
    from cryptobot import names
    from ops import checklist
    from ops.actions import registry
    from ops.actions.inputs import describe

    for action in registry.all_actions():
        yield from (action.title, action.help)
        yield from (field.help for field in describe(action.Input))
    yield from (item.title for item in checklist._items.values())
    yield from names.TEXTS


# --- the file ----------------------------------------------------------------


def read(path: Path = CATALOGUE) -> Catalogue:
    """Entries are blocks between empty lines. What an editor marked fuzzy is a guess, not a translation."""
    entries: Catalogue = {}
    for lines in path.read_text().split("\n\n") if path.exists() else []:
        block = lines.replace('"\n"', "")
        fields = dict(re.findall(r'^(msgid|msgid_plural|msgstr(?:\[\d\])?) (".*")$', block, re.MULTILINE))
        if ident := ast.literal_eval(fields.get("msgid", '""')):
            texts = [ast.literal_eval(v) for k, v in fields.items() if k.startswith("msgstr")]
            if re.search("^#,.*fuzzy", block, re.MULTILINE):
                texts = [""] * len(texts)
            entries[ident] = (ast.literal_eval(fields.get("msgid_plural", '""')), texts)
    return entries


def write(entries: Catalogue, path: Path = CATALOGUE) -> None:
    blocks = [f'msgid ""\nmsgstr {_quoted(HEADER)}']
    for ident, (plural, texts) in sorted(entries.items()):
        if plural:
            forms = "\n".join(f"msgstr[{n}] {_quoted(text)}" for n, text in enumerate(texts))
            blocks.append(f"msgid {_quoted(ident)}\nmsgid_plural {_quoted(plural)}\n{forms}")
        else:
            blocks.append(f"msgid {_quoted(ident)}\nmsgstr {_quoted(texts[0])}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(blocks) + "\n")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def compiled(entries: Catalogue) -> bytes:
    """The .mo: magic, counts and offsets, then the texts, sorted, each ended by NUL."""
    pairs = [("", HEADER)]
    for ident, (plural, texts) in entries.items():
        pairs.append((f"{ident}\0{plural}" if plural else ident, "\0".join(texts)))
    raw = sorted((key.encode(), value.encode()) for key, value in pairs)
    start = 28
    offset = start + 16 * len(raw)
    tables, data = [b"", b""], b""
    for column in (0, 1):
        for pair in raw:
            tables[column] += struct.pack("<II", len(pair[column]), offset + len(data))
            data += pair[column] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(raw), start, start + 8 * len(raw), 0, offset)
    return head + tables[0] + tables[1] + data


def problems(entries: Catalogue, texts: dict[str, str]) -> list[str]:
    found = [f"missing: {text!r}" for text in sorted(texts.keys() - entries.keys())]
    found += [f"unused: {text!r}" for text in sorted(entries.keys() - texts.keys())]
    for text, (plural, translations) in sorted(entries.items()):
        forms = 4 if plural else 1
        if len(translations) != forms or not all(translations):
            found.append(f"not translated: {text!r}")
        if any(set(_places(text)) - set(_places(each)) for each in translations if each):
            found.append(f"lost a place: {text!r}")
    return found


def _places(text: str) -> list[str]:
    return re.findall(r"%\(\w+\)s", text)


def main() -> int:
    import django

    django.setup()
    texts, entries, binary = wanted(), read(), CATALOGUE.with_suffix(".mo")
    if "--write" in sys.argv:
        entries = {
            text: entries.get(text, (plural, [""] * (4 if plural else 1))) for text, plural in texts.items()
        }
        write(entries)
        binary.write_bytes(compiled(entries))
    found = problems(entries, texts)
    if not found and (not binary.exists() or binary.read_bytes() != compiled(entries)):
        found = ["the .mo is not the compiled .po: make translations"]
    print("\n".join(found) or f"{len(entries)} texts, all in Russian")
    return 1 if found else 0


if __name__ == "__main__":
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cryptobot.settings")
    sys.exit(main())
