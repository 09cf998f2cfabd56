"""Pointing a ccxt client at this machine, wholly or not at all."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def rebased(urls: Any, base_url: str) -> Any:
    """The same tree of URLs with scheme and host of `base_url` (ws for websockets), paths kept."""
    if isinstance(urls, Mapping):
        return {key: rebased(value, base_url) for key, value in urls.items()}
    base, old = urlsplit(base_url), urlsplit(urls)
    scheme = "ws" if old.scheme.startswith("ws") else base.scheme
    return urlunsplit((scheme, base.netloc, old.path, "", ""))


def every_url(urls: Any) -> Iterator[str]:
    """Every string in a tree of dicts and lists."""
    if isinstance(urls, str):
        yield urls
    elif urls is not None:
        for value in urls.values() if isinstance(urls, Mapping) else urls:
            yield from every_url(value)


def assert_loopback(client: Any) -> None:
    """One missed key would send signed requests to the real venue (facts §1): refuse to exist instead.

    Raises:
        ValueError: naming the first URL whose host is not this machine.
    """
    for url in every_url(client.urls):
        if urlsplit(url).hostname not in LOOPBACK:
            raise ValueError(f"{client.id}: {url} does not point at loopback")
