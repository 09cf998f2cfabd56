"""Endpoints: the paper file as it is now, keys from the environment or from files, and nothing by halves."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trading.venues.endpoints import PAPER_FILE, load_endpoints

OKX_KEYS = {"OKX_API_KEY": "k", "OKX_API_SECRET": "s", "OKX_API_PASSPHRASE": "p"}


def write_paper(directory: Path, port: int) -> None:
    row = {"base_url": f"http://127.0.0.1:{port}", "api_key": "k", "api_secret": "s", "api_passphrase": "p"}
    draft = directory / "draft"
    draft.write_text(json.dumps({"venues": {"okx": row}}))
    draft.replace(directory / PAPER_FILE)


def test_paper_reads_the_file_and_sees_a_new_port(tmp_path: Path) -> None:
    write_paper(tmp_path, 1)
    assert load_endpoints("paper", tmp_path, {})["okx"].base_url == "http://127.0.0.1:1"
    write_paper(tmp_path, 2)
    assert load_endpoints("paper", tmp_path, {})["okx"].base_url == "http://127.0.0.1:2"


def test_paper_ignores_real_keys(tmp_path: Path) -> None:
    write_paper(tmp_path, 1)
    assert list(load_endpoints("paper", tmp_path, {"BINANCEUSDM_API_KEY": "real"})) == ["okx"]


def test_paper_venues_not_started_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=PAPER_FILE):
        load_endpoints("paper", tmp_path, {})


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"okx": {}}', '{"venues": {"okx": {}}}', '{"venues": {"okx": 1}}']
)
def test_a_malformed_paper_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / PAPER_FILE).write_text(text)
    with pytest.raises(ValueError):
        load_endpoints("paper", tmp_path, {})


def test_keys_come_from_the_environment_or_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from file\n")
    environ = {**OKX_KEYS, "OKX_API_SECRET": "", "OKX_API_SECRET_FILE": str(tmp_path / "secret")}
    found = load_endpoints("live", tmp_path, environ)
    assert list(found) == ["okx"]
    assert (found["okx"].api_key, found["okx"].api_secret, found["okx"].api_passphrase) == (
        "k",
        "from file",
        "p",
    )
    assert (found["okx"].profile, found["okx"].base_url) == ("live", None)


@pytest.mark.parametrize("missing", OKX_KEYS)
def test_a_venue_with_half_its_keys_stops_the_start(tmp_path: Path, missing: str) -> None:
    environ = {name: value for name, value in OKX_KEYS.items() if name != missing}
    with pytest.raises(ValueError, match=missing):
        load_endpoints("testnet", tmp_path, environ)


def test_no_key_shows_in_a_repr(tmp_path: Path) -> None:
    environ = {"OKX_API_KEY": "aaa1", "OKX_API_SECRET": "bbb2", "OKX_API_PASSPHRASE": "ccc3"}
    text = repr(load_endpoints("live", tmp_path, environ))
    assert not any(secret in text for secret in environ.values())


def test_the_interface_and_the_hub_import_neither_ccxt_nor_django() -> None:
    script = (
        "import sys, trading.venues.interface, trading.venues.hub, trading.venues.endpoints\n"
        "print(sorted({'ccxt', 'django'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[4]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
