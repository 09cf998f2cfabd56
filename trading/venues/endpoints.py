"""Where each venue is and with which key: DATA_DIR/paper-venues.json in paper, the environment otherwise."""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from trading.venues.interface import VenueEndpoint

PAPER_FILE = "paper-venues.json"
_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "binanceusdm": ("API_KEY", "API_SECRET"),
    "okx": ("API_KEY", "API_SECRET", "API_PASSPHRASE"),
    "bybit": ("API_KEY", "API_SECRET"),
}


def load_endpoints(profile: str, data_dir: Path, environ: Mapping[str, str]) -> dict[str, VenueEndpoint]:
    """Endpoints by venue name. Cheap enough to ask before each use; a paper venue's new port is seen at once.

    Testnet and live read `<VENUE>_API_KEY`, `_API_SECRET` (and OKX's `_API_PASSPHRASE`), or the file that
    `<variable>_FILE` names; a venue none of whose variables is set is not configured.

    Raises:
        OSError: the paper file (paper venues not started yet) or a key file cannot be read.
        ValueError: the paper file is malformed, or a venue's variables are set only in part.
    """
    if profile == "paper":
        path = data_dir / PAPER_FILE
        stamp = path.stat()
        return dict(_paper_endpoints(path, stamp.st_mtime_ns, stamp.st_ino))
    found = {venue: _credentials(venue, environ) for venue in _VARIABLES}
    return {venue: _endpoint(venue, profile, keys) for venue, keys in found.items() if keys}


@lru_cache(maxsize=4)
def _paper_endpoints(path: Path, _mtime_ns: int, _inode: int) -> Mapping[str, VenueEndpoint]:
    try:
        rows = json.loads(path.read_text())["venues"]
        return {name: _paper_endpoint(name, row) for name, row in rows.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: {error!r}; accepted: venues, each with base_url and api_*") from error


def _paper_endpoint(venue: str, row: Mapping[str, Any]) -> VenueEndpoint:
    return VenueEndpoint(
        venue=venue,
        profile="paper",
        api_key=row["api_key"],
        api_secret=row["api_secret"],
        api_passphrase=row.get("api_passphrase", ""),
        base_url=row["base_url"],
    )


def _credentials(venue: str, environ: Mapping[str, str]) -> dict[str, str]:
    """All of a venue's variables by lower-case suffix, or {} when none is set."""
    found = {suffix.lower(): _value(f"{venue.upper()}_{suffix}", environ) for suffix in _VARIABLES[venue]}
    missing = [f"{venue.upper()}_{suffix}" for suffix in _VARIABLES[venue] if not found[suffix.lower()]]
    if len(missing) == len(found):
        return {}
    if missing:
        raise ValueError(f"{', '.join(missing)}: required, since another key of {venue} is set")
    return found


def _value(name: str, environ: Mapping[str, str]) -> str:
    if environ.get(name):
        return environ[name]
    file = environ.get(f"{name}_FILE")
    return Path(file).read_text().strip() if file else ""


def _endpoint(venue: str, profile: str, keys: Mapping[str, str]) -> VenueEndpoint:
    return VenueEndpoint(
        venue=venue,
        profile=profile,
        api_key=keys["api_key"],
        api_secret=keys["api_secret"],
        api_passphrase=keys.get("api_passphrase", ""),
    )
