"""The strict loader: each mistake is named with its own line and column."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from cryptobot.env import BASE_DIR
from ops.config import BadConfig, ControlConfig, parse
from ops.config.loader import ConfigError
from risk.config import RiskConfig

PAPER = (BASE_DIR / "configs" / "config.paper.yaml").read_text()


def position(text: str, needle: str) -> tuple[int, int]:
    """Line and column, from 1, at which `needle` first stands in `text`."""
    before = text[: text.index(needle)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def errors(text: str) -> list[ConfigError]:
    with pytest.raises(BadConfig) as caught:
        parse(text)
    return caught.value.errors


@pytest.mark.parametrize("profile", ["paper", "testnet", "live"])
def test_the_shipped_files_are_accepted(profile: str) -> None:
    loaded = parse((BASE_DIR / "configs" / f"config.{profile}.yaml").read_text())
    assert loaded.section(ControlConfig).quorum == {"paper": 1, "testnet": 2, "live": 2}[profile]


@pytest.mark.parametrize(
    ("old", "new", "at", "path", "problem", "found"),
    [
        ("quorum: 1", "quorum: 1\n  quorom: 2", "quorom", "control.quorom", "unknown key", "2"),
        (
            "leverage: 10",
            "quorum: 1, leverage: 10",
            "quorum: 1, l",
            "trading.venues.binanceusdm.quorum",
            "unknown",
            "1",
        ),
        ("quorum: 1", "quorum: one", "quorum", "control.quorum", "integer", "'one'"),
        ("quorum: 1", 'quorum: "1"', "quorum", "control.quorum", "integer", "'1'"),
        ("quorum: 1", "quorum: true", "quorum", "control.quorum", "integer", "True"),
        ("quorum: 1", "quorum: 1.5", "quorum", "control.quorum", "integer", "1.5"),
        ("quorum: 1", "quorum: 0", "quorum", "control.quorum", "greater", "0"),
        ("quorum: 1", "quorum:", "quorum", "control.quorum", "integer", "None"),
        ("quorum: 1", "quorum: [1]", "quorum", "control.quorum", "integer", "a list"),
        (
            "margin_buffer: 0.1",
            "margin_buffer: .nan",
            "margin_buffer",
            "trading.preflight.margin_buffer",
            "finite",
            "NaN",
        ),
        (
            "order_prefix: cb",
            "order_prefix: 1.5",
            "order_prefix",
            "trading.execution.order_prefix",
            "string",
            "1.5",
        ),
        (
            "[binanceusdm, okx], n",
            "[binanceusdm, kraken], n",
            "kraken",
            "trading.pairs.0.venues.1",
            "'okx'",
            "'kraken'",
        ),
    ],
)
def test_a_mistake_is_named_where_it_stands(
    old: str, new: str, at: str, path: str, problem: str, found: str
) -> None:
    assert old in PAPER
    text = PAPER.replace(old, new, 1)
    (error,) = errors(text)
    assert (error.line, error.column) == position(text, at)
    assert error.path == path
    assert problem in error.problem
    assert error.found == found


def test_a_missing_key_is_named_at_its_section() -> None:
    text = PAPER.replace("  quorum: 1\n", "  {}\n", 1)
    (error,) = errors(text)
    assert (error.line, error.column) == position(text, "control:")
    assert (error.path, error.problem, error.found) == (
        "control.quorum",
        "required key is missing",
        "nothing",
    )


def test_a_misplaced_section_and_a_missing_one() -> None:
    text = PAPER.replace("control:", "controls:", 1)
    unknown, missing = errors(text)
    assert (unknown.line, unknown.column) == position(text, "controls:")
    assert "accepted: control, notifications, risk, trading" in unknown.problem
    assert (missing.path, missing.problem) == ("control", "required section is missing")


@pytest.mark.parametrize(
    ("change", "at", "problem"),
    [
        (lambda text: text.replace("quorum: 1", "quorum: 1\n  quorum: 1"), None, "duplicate key"),
        (lambda text: text.replace("quorum: 1", "quorum: [1"), None, "expected"),
        (lambda text: text.replace("quorum: 1", "quorum: 1\n\tx: 1"), "\tx", "found character"),
        (lambda text: text.replace("quorum: 1", "quorum: *one"), "*one", "alias"),
        (lambda text: text.replace("quorum: 1", "quorum: &one 1\n  x: *one"), "*one", "alias"),
        (lambda text: "\x01" + text, None, "character"),
        (lambda text: text + "\n---\n{}\n", None, "single document"),
        (lambda text: text.replace("quorum: 1", "quorum: 2026-99-99"), None, "month"),
        (lambda _: "", None, "mapping of sections"),
        (lambda _: "- a\n- b\n", None, "mapping of sections"),
    ],
)
def test_what_is_not_such_a_document_at_all(
    change: Callable[[str], str], at: str | None, problem: str
) -> None:
    text = change(PAPER)
    (error,) = errors(text)
    assert problem in error.problem
    if at is not None:
        assert (error.line, error.column) == position(text, at)


def test_a_duplicate_key_is_named_at_the_second() -> None:
    text = PAPER.replace("quorum: 1", "quorum: 1\n  quorum: 2", 1)
    (error,) = errors(text)
    assert (error.line, error.column) == position(text, "quorum: 2")


def test_a_document_that_grows_when_it_is_read_is_refused_before_it_grows() -> None:
    bomb = "a: &a [x, x]\n" + "".join(
        f"{n}: &{n} [*{m}, *{m}]\n" for m, n in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "alias" in errors(bomb)[0].problem
    assert "alias" in errors("a: &a [*a]\n")[0].problem


def test_a_fraction_reaches_decimal_by_its_own_digits() -> None:
    digits = "0.123456789012345678901234567"
    text = PAPER.replace("max_total_notional_usdt: 100000", f"max_total_notional_usdt: {digits}", 1)
    assert parse(text).section(RiskConfig).max_total_notional_usdt == Decimal(digits)


def test_an_error_reads_as_a_sentence() -> None:
    text = PAPER.replace("quorum: 1", "quorum: one", 1)
    line, column = position(text, "quorum")
    assert str(errors(text)[0]).startswith(f"line {line}, column {column}: control.quorum: ")
