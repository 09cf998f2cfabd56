"""The verdict on every code that facts §5 names, on what is no code at all, and on what stays ambiguous."""

from typing import Any

import pytest

from trading.venues.errors import _LISTS, VERDICTS, refusal, silence, verdict_of
from trading.venues.interface import Verdict

BINANCE = {
    Verdict.REJECTED: """-1021 -5028 -4014 -1111 -4003 -4004 -4005 -4023 -4164 -4016 -4024 -4131 -2019
        -2018 -2027 -2028 -5022 -5021 -2022 -4118 -4116 -4015 -4061 -4046 -4059 -1121 -1130 -4192 -4400""",
    Verdict.RATE_LIMITED: "-1003 -1015",
    Verdict.NOT_FOUND: "-2011 -2013",
    Verdict.AUTH: "-2014 -2015 -1022",
    Verdict.MAINTENANCE: "-4140",
    Verdict.AMBIGUOUS: "-1000 -1001 -1006 -1007 -1008 -2012 -9999",
}
OKX = {
    Verdict.REJECTED: """50102 50036 51121 51020 51000 51006 51008 51119 51019 51169 51170 51016 59000 51001
        51010""",
    Verdict.RATE_LIMITED: "50011 50061 50040",
    Verdict.NOT_FOUND: "51400 51401 51402 51603",
    Verdict.AUTH: "50111 50113 50105",
    Verdict.MAINTENANCE: "50001 51030",
    Verdict.AMBIGUOUS: "50004 50005 50013 50026 51410 99999",
}
BYBIT = {
    Verdict.REJECTED: """10001 10002 110003 110094 110004 110007 110012 110044 110017 110072 110025 110026
        110043 110024 110028""",
    Verdict.RATE_LIMITED: "10006 10018",
    Verdict.NOT_FOUND: "110001 110008 110010",
    Verdict.AUTH: "10003 10004 10005 10010 33004",
    Verdict.MAINTENANCE: "110066",
    Verdict.AMBIGUOUS: "429 10000 10014 10016 10429 110079 999999",
}
CASES = [
    (venue, code, verdict)
    for venue, table in (("binanceusdm", BINANCE), ("okx", OKX), ("bybit", BYBIT))
    for verdict, codes in table.items()
    for code in codes.split()
]


@pytest.mark.parametrize(("venue", "code", "expected"), CASES)
def test_each_code_has_its_verdict(venue: str, code: str, expected: Verdict) -> None:
    assert verdict_of(venue, code, status=400) is expected


@pytest.mark.parametrize("venue", VERDICTS)
def test_no_code_is_on_two_lists(venue: str) -> None:
    codes = [code for _, _, row in _LISTS[venue] for code in row.split()]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize("venue", VERDICTS)
@pytest.mark.parametrize("status", [418, 429])
def test_a_gateway_that_counts_requests_is_rate_limited_whatever_the_body(venue: str, status: int) -> None:
    error = refusal(venue, status=status, answer=None, text="<html>slow down</html>")
    assert error is not None
    assert error.verdict is Verdict.RATE_LIMITED


@pytest.mark.parametrize(
    ("status", "answer", "text"),
    [
        (503, None, "<html>502 Bad Gateway</html>"),
        (503, {"code": -1000, "msg": "Unknown error, please check your request"}, "{}"),
        (408, {"code": -1007, "msg": "Timeout waiting for response"}, "{}"),
        (200, None, '{"orderId": 12'),
        (403, None, "<html>forbidden</html>"),
    ],
)
def test_what_is_no_clear_answer_is_ambiguous(status: int, answer: Any, text: str) -> None:
    error = refusal("binanceusdm", status=status, answer=answer, text=text)
    assert error is not None
    assert error.verdict is Verdict.AMBIGUOUS
    assert not error.verdict.definite


@pytest.mark.parametrize(
    ("venue", "answer"),
    [
        ("binanceusdm", {"orderId": 1}),
        ("binanceusdm", []),
        ("binanceusdm", {"code": 200, "msg": "success"}),
        ("okx", {"code": "0", "data": [{"ordId": "1", "sCode": "0"}]}),
        ("okx", {"code": "0", "data": []}),
        ("bybit", {"retCode": 0, "retMsg": "OK", "result": {"orderId": "1"}, "retExtInfo": {}, "time": 1}),
    ],
)
def test_a_good_answer_is_no_error(venue: str, answer: Any) -> None:
    assert refusal(venue, status=200, answer=answer, text="") is None


def test_bybit_refuses_with_http_200_and_a_number() -> None:
    error = refusal("bybit", status=200, answer={"retCode": 110007, "retMsg": "ab not enough"}, text="body")
    assert error is not None
    assert (error.code, error.verdict, error.detail) == ("110007", Verdict.REJECTED, "body")


def test_only_bybit_bars_an_address_with_403() -> None:
    verdicts = {venue: verdict_of(venue, "", status=403) for venue in VERDICTS}
    assert verdicts.pop("bybit") is Verdict.RATE_LIMITED
    assert set(verdicts.values()) == {Verdict.AMBIGUOUS}


def test_okx_names_the_reason_in_the_row_not_on_top() -> None:
    answer = {"code": "1", "msg": "", "data": [{"ordId": "", "sCode": "51119", "sMsg": "balance"}]}
    error = refusal("okx", status=200, answer=answer, text="body")
    assert error is not None
    assert (error.code, error.verdict, error.detail) == ("51119", Verdict.REJECTED, "body")


def test_okx_row_refused_under_an_okay_top_code_is_still_refused() -> None:
    answer = {"code": "0", "data": [{"sCode": "51008"}]}
    error = refusal("okx", status=200, answer=answer, text="")
    assert error is not None
    assert error.code == "51008"


def test_silence_is_ambiguous_and_names_what_happened() -> None:
    error = silence("okx", TimeoutError("3 s"))
    assert (error.verdict, error.code) == (Verdict.AMBIGUOUS, "TimeoutError")
