"""A venue's answer → `Verdict`, by the venue's own code.

Only the codes on the lists below are definite; every other answer (an unknown code, a 5xx, HTML, broken JSON,
silence) is AMBIGUOUS: on the order path it means "may have happened", and the caller asks by client id. A
code is put on a list only when the venue's documents say that the request was refused. Deliberately on none:
Binance −1000, −1001, −1006, −1007, −1008, OKX 50004, 50005, 50013, 50026, 51410 and Bybit 10000, 10014,
10016, 10429, 110079 (facts §5).

ccxt's exception classes decide nothing about an answer: for Binance they depend on the host of the URL
(facts, gotcha #1), so that paper and live would differ; they only name a silence (time-out, dropped
connection).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from trading.venues.interface import VenueError, Verdict

_REJECTED, _AUTH = Verdict.REJECTED, Verdict.AUTH

# What was refused, and with which codes (facts §5; the venues' own error tables).
_LISTS: Mapping[str, tuple[tuple[Verdict, str, str], ...]] = {
    "binanceusdm": (
        (_REJECTED, "clock", "-1021 -5028"),
        (
            _REJECTED,
            "request",
            "-1100 -1101 -1102 -1103 -1104 -1105 -1106 -1115 -1116 -1117 -1118 -1121 -1128 -1130 -1131",
        ),
        (
            _REJECTED,
            "price, quantity, notional",
            "-1013 -1111 -4003 -4004 -4005 -4012 -4013 -4014 -4023 -4164",
        ),
        (_REJECTED, "price band", "-4016 -4024 -4131"),
        (_REJECTED, "margin and limits", "-2018 -2019 -2023 -2024 -2025 -2027 -2028 -4028"),
        (_REJECTED, "post-only, FOK, trigger", "-5022 -5021 -2020 -2021"),
        (_REJECTED, "reduce-only", "-2022 -2026 -4118"),
        (_REJECTED, "client id", "-4015 -4116"),
        (_REJECTED, "modes", "-4046 -4059 -4061 -4067 -4068"),
        (_REJECTED, "other", "-2010 -4192 -4400"),
        (Verdict.RATE_LIMITED, "", "-1003 -1015"),
        (Verdict.NOT_FOUND, "cancel, query", "-2011 -2013"),
        (_AUTH, "", "-1002 -1022 -2014 -2015 -2017"),
        (Verdict.MAINTENANCE, "instrument closed to new orders", "-4140"),
    ),
    "okx": (
        (_REJECTED, "clock, expTime", "50102 50036"),
        (_REJECTED, "request", "50014 51000 51001 51010 51015"),
        (_REJECTED, "lot, minimum, maximum", "51004 51005 51007 51020 51101 51120 51121 51185 51203"),
        (_REJECTED, "price band", "51006 51122 51137 51138"),
        (_REJECTED, "margin and limits", "51008 51025 51119 51127 51131 51174 59102"),
        (_REJECTED, "post-only", "51019"),
        (_REJECTED, "reduce-only", "51023 51112 51169 51170"),
        (_REJECTED, "client id", "51016"),
        (_REJECTED, "modes", "59000"),
        (_REJECTED, "other", "51009 51021 51022"),
        (Verdict.RATE_LIMITED, "", "50011 50040 50061"),
        (Verdict.NOT_FOUND, "cancel, query", "51400 51401 51402 51603"),
        (_AUTH, "account", "50007 50027 50100"),
        (_AUTH, "key", "50101 50103 50104 50105 50106 50107 50110 50111 50112 50113 50114 50120"),
        (Verdict.MAINTENANCE, "engine, settlement", "50001 51027 51028 51029 51030"),
    ),
    "bybit": (
        (_REJECTED, "clock, recv_window", "10002"),
        (_REJECTED, "request", "10001 10017 10028 10029"),
        (_REJECTED, "price band, notional", "110003 110094"),
        (_REJECTED, "margin", "110004 110006 110007 110012 110014 110044 110045 110051 110052 110053"),
        (_REJECTED, "limits", "110009 110013 110020 110021 110022 110040 110046 110090"),
        (_REJECTED, "reduce-only", "110017 110023"),
        (_REJECTED, "client id", "110072"),
        (_REJECTED, "modes", "110024 110025 110026 110028 110029 110043"),
        (_REJECTED, "liquidation", "110011"),
        (Verdict.RATE_LIMITED, "", "10006 10018"),
        (Verdict.NOT_FOUND, "cancel, query", "110001 110008 110010"),
        (_AUTH, "", "10003 10004 10005 10007 10008 10009 10010 10024 10027 33004"),
        (Verdict.MAINTENANCE, "trading not allowed", "110066"),
    ),
}
VERDICTS: Mapping[str, Mapping[str, Verdict]] = {
    venue: {code: verdict for verdict, _, codes in lists for code in codes.split()}
    for venue, lists in _LISTS.items()
}
_BUSY_STATUSES = {418, 429}  # sent by the gateway, before the order engine: nothing was accepted
_BARRED_STATUSES = {"bybit": 403}  # the same, by a venue's own status
_OKAY = {"", "0", "200"}


def verdict_of(venue: str, code: str, status: int = 200) -> Verdict:
    """`code` of `venue` with HTTP `status`; AMBIGUOUS for whatever is on no list."""
    if status in _BUSY_STATUSES or status == _BARRED_STATUSES.get(venue):
        return Verdict.RATE_LIMITED
    return VERDICTS[venue].get(code, Verdict.AMBIGUOUS)


def refusal(venue: str, *, status: int, answer: Any, text: str) -> VenueError | None:
    """The error that an HTTP answer carries, or None when it is a good one.

    `answer` is the decoded JSON, None when the body was none: then even a 200 says nothing.
    """
    code = next((c for c in _codes(answer) if c not in _OKAY), "")
    if not code and status < 400 and answer is not None:
        return None
    verdict = verdict_of(venue, code, status)
    return VenueError(verdict, venue=venue, code=code or f"http_{status}", detail=text[:300])


def _codes(answer: Any) -> Iterator[str]:
    """Most telling first: OKX's per-row `sCode`, then the answer's `code` (Binance's and OKX's) or `retCode`
    (Bybit's)."""
    if not isinstance(answer, Mapping):
        return
    rows = answer.get("data")
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, Mapping):
            yield str(row.get("sCode", ""))
    yield str(answer.get("code", ""))
    yield str(answer.get("retCode", ""))


def silence(venue: str, error: BaseException) -> VenueError:
    """No usable answer (time-out, dropped connection, unreadable body): AMBIGUOUS, named by the class."""
    name = type(error).__name__
    return VenueError(Verdict.AMBIGUOUS, venue=venue, code=name, detail=str(error)[:300])


def not_sent(venue: str, detail: str) -> VenueError:
    """Refused on our side, before any byte left: definite."""
    return VenueError(Verdict.REJECTED, venue=venue, code="not_sent", detail=detail)
