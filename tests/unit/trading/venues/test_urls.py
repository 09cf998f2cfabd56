"""With a base URL no string of a client points away from this machine, and a missed one stops the start."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from trading.venues.base import CcxtVenue
from trading.venues.binanceusdm import BinanceUsdm
from trading.venues.bybit import Bybit
from trading.venues.interface import VenueEndpoint
from trading.venues.loopback import LOOPBACK, assert_loopback, every_url, rebased
from trading.venues.okx import Okx

KINDS = (BinanceUsdm, Okx, Bybit)


def endpoint(
    kind: type[CcxtVenue], *, profile: str = "paper", base_url: str | None = "http://127.0.0.1:9"
) -> VenueEndpoint:
    return VenueEndpoint(
        kind.name, profile, api_key="k", api_secret="s", api_passphrase="p", base_url=base_url
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_url_of_both_clients_is_loopback(kind: type[CcxtVenue]) -> None:
    venue = kind(endpoint(kind))
    for client in (venue.orders, venue.data):
        urls = list(every_url(client.urls))
        assert urls
        assert {urlsplit(url).hostname for url in urls} <= LOOPBACK


@pytest.mark.parametrize("kind", KINDS)
def test_paths_of_the_real_venue_are_kept(kind: type[CcxtVenue]) -> None:
    real, paper = kind(endpoint(kind, profile="live", base_url=None)), kind(endpoint(kind))
    rest = {key: value for key, value in real.orders.urls["api"].items() if isinstance(value, str)}
    assert rest
    for key, url in rest.items():
        assert paper.orders.urls["api"][key] == "http://127.0.0.1:9" + urlsplit(url).path


@pytest.mark.parametrize("kind", KINDS)
def test_one_missed_key_is_refused(kind: type[CcxtVenue]) -> None:
    client = kind(endpoint(kind)).orders
    client.urls["api"]["sapi"] = "https://api.binance.com/sapi/v1"
    with pytest.raises(ValueError, match=r"api\.binance\.com"):
        assert_loopback(client)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "base_url", ["http://10.0.0.1:80", "https://127.0.0.1.example.com", "http://example.com"]
)
def test_a_base_url_elsewhere_is_refused(kind: type[CcxtVenue], base_url: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        kind(endpoint(kind, base_url=base_url))


@pytest.mark.parametrize("kind", KINDS)
def test_paper_without_a_base_url_is_refused(kind: type[CcxtVenue]) -> None:
    with pytest.raises(ValueError, match="base_url"):
        kind(endpoint(kind, base_url=None))


@pytest.mark.parametrize("kind", KINDS)
def test_no_client_retries_or_throttles_and_each_waits_three_seconds(kind: type[CcxtVenue]) -> None:
    venue = kind(endpoint(kind))
    for client in (venue.orders, venue.data):
        assert client.options["maxRetriesOnFailure"] == 0
        assert client.enableRateLimit is False
        assert client.timeout == 3000


def test_testnets_are_the_venues_own_and_okx_marks_its_requests() -> None:
    binance = BinanceUsdm(endpoint(BinanceUsdm, profile="testnet", base_url=None))
    assert urlsplit(binance.orders.urls["api"]["fapiPrivate"]).hostname == "demo-fapi.binance.com"
    okx = Okx(endpoint(Okx, profile="testnet", base_url=None))
    assert okx.orders.headers["x-simulated-trading"] == "1"
    bybit = Bybit(endpoint(Bybit, profile="testnet", base_url=None))
    assert set(every_url(bybit.orders.urls["api"])) == {"https://api-testnet.{hostname}"}


class Patient(Bybit):
    def _client(self, credentials: dict[str, Any], kind: type | None) -> Any:
        client = super()._client(credentials, kind)
        client.options["recvWindow"] = 10_000
        return client


def test_a_client_that_lets_its_orders_wait_longer_than_five_seconds_is_refused() -> None:
    with pytest.raises(ValueError, match="recvWindow"):
        Patient(endpoint(Bybit))


def test_websockets_keep_their_scheme() -> None:
    assert rebased({"ws": {"linear": "wss://fstream.binance.com/ws"}}, "http://127.0.0.1:9") == {
        "ws": {"linear": "ws://127.0.0.1:9/ws"}
    }
