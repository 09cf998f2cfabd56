"""The venues as a process of their own: ready line, endpoint file, its deaths and what survives them."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.trading.paper.clients import BTC, client_of, desk, find_order
from tests.unit.trading.paper.recordings import recording
from trading.paper.clock import VIRTUAL_START_MS
from trading.paper.server import AlreadyRunning, PaperVenues

ROOT = Path(__file__).parents[4]
LOTS = {"binanceusdm": 0.05, "okx": 5, "bybit": 0.05}


class Process:
    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.process: subprocess.Popen[str] | None = None

    def start(self, *options: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "trading.paper", "--data-dir", str(self.data_dir), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("paper venues ready")
        return self.endpoints()

    def endpoints(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads((self.data_dir / "paper-venues.json").read_text())
        return data

    def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=10)


@pytest.fixture
def paper(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    if process.process is not None:
        process.process.kill()
        process.process.wait()
        assert process.process.stdout is not None
        process.process.stdout.close()


async def seen(endpoints: dict[str, Any]) -> dict[str, Any]:
    """What a client can ask each venue for."""
    found = {}
    for name, row in endpoints["venues"].items():
        client = client_of(name, row)
        client.milliseconds = lambda: VIRTUAL_START_MS
        try:
            positions = [(p["side"], p["contracts"], p["entryPrice"]) for p in await client.fetch_positions()]
            orders = [(o["id"], o["amount"]) for o in await client.fetch_open_orders(BTC)]
            trades = [t["id"] for t in await client.fetch_my_trades(BTC)]
            wallet = client.safe_string((await raw_wallet(client)), "wallet")
            last = await last_order(client)
            found[name] = (positions, orders, trades, wallet, last["id"], last["filled"])
        finally:
            await client.close()
    return found


async def raw_wallet(client: Any) -> dict[str, str]:
    if client.id == "okx":
        return {"wallet": (await client.privateGetAccountBalance())["data"][0]["details"][0]["cashBal"]}
    if client.id == "bybit":
        answer = await client.privateGetV5AccountWalletBalance({"accountType": "UNIFIED"})
        return {"wallet": answer["result"]["list"][0]["coin"][0]["walletBalance"]}
    return {"wallet": (await client.fapiPrivateV3GetAccount())["totalWalletBalance"]}


async def last_order(client: Any) -> Any:
    """At Bybit from the history, where a closed order is both before and after a restart."""
    if client.id == "bybit":
        (order,) = await client.fetch_closed_orders(BTC, params={"orderLinkId": "last"})
        return order
    return await find_order(client, "last")


async def trade(endpoints: dict[str, Any]) -> None:
    """A position, a resting order and, just before the end, one more fill."""
    for name, row in endpoints["venues"].items():
        client = client_of(name, row)
        client.milliseconds = lambda: VIRTUAL_START_MS
        try:
            book = await client.fetch_order_book(BTC, 20)
            bid, ask = book["bids"][0][0], book["asks"][-1][0]
            ioc = {"timeInForce": "IOC"}
            await client.create_order(BTC, "limit", "buy", LOTS[name], ask, ioc)
            await client.create_order(BTC, "limit", "buy", LOTS[name], round(bid * 0.99))
            await client.create_order(BTC, "limit", "buy", LOTS[name], ask, {**ioc, "clientOrderId": "last"})
        finally:
            await client.close()


def test_kill_9_loses_nothing(paper: Process) -> None:
    options = ("--seed", "4", "--clock", "virtual")
    endpoints = paper.start(*options)
    asyncio.run(trade(endpoints))
    before = asyncio.run(seen(endpoints))
    assert paper.end(signal.SIGKILL) == -signal.SIGKILL
    assert paper.start(*options) == endpoints  # same keys, same ports, same control token
    assert asyncio.run(seen(endpoints)) == before
    for positions, orders, trades, *_, filled in before.values():
        assert (len(positions), len(orders), len(trades) >= 2, filled > 0) == (1, 1, True, True)


def test_sigterm_ends_cleanly_and_the_file_is_private(paper: Process) -> None:
    paper.start()
    mode = os.stat(paper.data_dir / "paper-venues.json").st_mode & 0o777
    assert mode == 0o600
    assert paper.end(signal.SIGTERM) == 0


def test_a_taken_port_is_replaced_and_the_file_rewritten(paper: Process) -> None:
    first = paper.start()
    paper.end(signal.SIGTERM)
    (paper.data_dir / "paper-venues.json").unlink()  # as the supervisor does before each start
    port = int(first["venues"]["okx"]["base_url"].rsplit(":", 1)[1])
    with socket.create_server(("127.0.0.1", port)):
        second = paper.start()
    assert second["venues"]["okx"]["base_url"] != first["venues"]["okx"]["base_url"]
    assert second["venues"]["okx"]["api_key"] == first["venues"]["okx"]["api_key"]
    assert second["venues"]["binanceusdm"] == first["venues"]["binanceusdm"]


def test_a_data_directory_from_before_gets_keys_for_the_venue(tmp_path: Path) -> None:
    """An older desk's identity has the other venues only; theirs stay as they are."""

    async def keys() -> Any:
        async with PaperVenues(tmp_path) as venues:
            return {name: row["api_key"] for name, row in venues.endpoints()["venues"].items()}

    first = asyncio.run(keys())
    path = tmp_path / "paper" / "identity.json"
    identity = json.loads(path.read_text())
    del identity["keys"]["bybit"], identity["ports"]["bybit"]
    path.write_text(json.dumps(identity))
    second = asyncio.run(keys())
    assert second.pop("bybit") != first.pop("bybit")
    assert second == first


def test_two_processes_cannot_hold_the_same_venues(tmp_path: Path) -> None:
    async def run() -> None:
        async with PaperVenues(tmp_path):
            with pytest.raises(AlreadyRunning, match="run already"):
                await PaperVenues(tmp_path).start()

    asyncio.run(run())


def test_a_market_that_is_none_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trading.paper", "--data-dir", str(tmp_path), "--market", "nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "accepted are generator and recording" in done.stderr


def test_a_recording_is_traded_minute_by_minute(tmp_path: Path) -> None:
    lean = recording("lean/cryptofuture")

    async def run() -> None:
        async with desk(tmp_path, market=f"recording:{lean}") as one:
            assert set(one.clients["okx"].symbols) > {BTC}  # the other coins go on being generated
            await one.control("okx", "POST", "recording", minute=2)
            book = await one.clients["binanceusdm"].fetch_order_book(BTC, 5)
            assert (book["bids"], book["asks"][0][0]) == ([[17225.3, 13.822]], 17225.4)
            await one.control("okx", "POST", "clock", advance_ms=60_000)
            answer = await one.control("okx", "POST", "recording", step=2)
            assert answer == {"minute": 5}

    asyncio.run(run())


def test_the_package_needs_no_django(tmp_path: Path) -> None:
    script = "import sys, trading.paper.server; print([m for m in ('django', 'ccxt') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
