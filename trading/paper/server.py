"""All paper venues of one desk in one process: start, identity, clock, end.

State lives in `<data_dir>/paper/` and outlives the process, as positions at a venue outlive a desk. Addresses
and keys for the desk are in `<data_dir>/paper-venues.json`, written when the venues answer.
"""

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from trading.paper.clock import VIRTUAL_START_MS, RealClock, VirtualClock
from trading.paper.control import Control
from trading.paper.dialects import okx
from trading.paper.dialects.base import Keys
from trading.paper.market import STEP_MS, Beside, Generator, Market
from trading.paper.overlay import OverlaidMarket
from trading.paper.recording import RecordedMarket
from trading.paper.ticks import TickMarket, tick_files
from trading.paper.venue import DIALECTS, Venue

log = logging.getLogger(__name__)

ENDPOINT_FILE = "paper-venues.json"
STATE_DIR = "paper"
RECORDING = "recording:"


class AlreadyRunning(Exception):
    """Another process holds the venues of this data directory."""


class PaperVenues:
    """`async with PaperVenues(data_dir, seed=1) as venues:` serves until the block ends.

    `market` is "generator" or "recording:<folder>", Lean's `cryptofuture` or hftbacktest's, whose time passes
    `speed` times as fast. `virtual` stops the clock at `start_ms` until `move_clock`. `venues["okx"]` is one.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        market: str = "generator",
        seed: int = 1,
        speed: float = 1,
        virtual: bool = False,
        start_ms: int = VIRTUAL_START_MS,
    ) -> None:
        self.data_dir, self.seed, self.speed, self._market_spec = data_dir, seed, speed, market
        self.clock: RealClock | VirtualClock = VirtualClock(start_ms) if virtual else RealClock()
        self.venues: dict[str, Venue] = {}
        self.control_token = ""
        self._recording: RecordedMarket | TickMarket | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._lock: IO[str] | None = None

    def __getitem__(self, name: str) -> Venue:
        return self.venues[name]

    async def __aenter__(self) -> "PaperVenues":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # -- life --

    async def start(self) -> None:
        """Raises AlreadyRunning, or ValueError for a market that is neither generator nor recording."""
        state_dir = self.data_dir / STATE_DIR
        state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _locked(state_dir / "lock")
        market = OverlaidMarket(self._open_market())
        identity = _identity(state_dir / "identity.json")
        self.control_token = identity["control_token"]
        for name in DIALECTS:
            self.venues[name] = self._open_venue(name, identity, market)
        self._resume_clock()
        for name, venue in self.venues.items():
            await venue.start(identity["ports"].get(name, 0))
            identity["ports"][name] = venue.port
        write_private(state_dir / "identity.json", identity)
        write_private(self.data_dir / ENDPOINT_FILE, self.endpoints())
        if isinstance(self.clock, RealClock):
            self._ticker = asyncio.create_task(self._tick())

    def _open_market(self) -> Market:
        if self._market_spec == "generator":
            return Generator(self.seed)
        if self._market_spec.startswith(RECORDING):
            path = Path(self._market_spec.removeprefix(RECORDING))
            kind = TickMarket if tick_files(path) else RecordedMarket
            self._recording = kind(path, start_ms=self.clock.now_ms(), speed=self.speed)
            return Beside(self._recording, Generator(self.seed))
        raise ValueError(f"market {self._market_spec!r}: accepted are generator and recording:<folder>")

    def _open_venue(self, name: str, identity: dict[str, Any], market: OverlaidMarket) -> Venue:
        venue = Venue(
            name,
            keys=Keys(**identity["keys"][name]),
            control_token=self.control_token,
            market=market,
            clock=self.clock,
            journal_path=self.data_dir / STATE_DIR / f"{name}.sqlite3",
            seed=self.seed,
        )
        venue.control = Control(venue, self)
        return venue

    def _resume_clock(self) -> None:
        if isinstance(self.clock, VirtualClock):
            latest = max(venue.engine.now_ms for venue in self.venues.values())
            self.clock.set(max(latest, self.clock.now_ms()))

    async def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticker
        for venue in self.venues.values():
            await venue.stop()
        if self._lock is not None:
            self._lock.close()

    def endpoints(self) -> dict[str, Any]:
        """What the endpoint file says."""
        rows = {}
        for name, venue in self.venues.items():
            keys = {"api_key": venue.keys.api_key, "api_secret": venue.keys.api_secret}
            if venue.keys.api_passphrase:
                keys["api_passphrase"] = venue.keys.api_passphrase
            rows[name] = {"base_url": venue.base_url, **keys}
        return {"venues": rows, "control_token": self.control_token}

    # -- time --

    async def _tick(self) -> None:
        """What rests, is armed or may be liquidated needs a clock: prices are computed when asked."""
        while True:
            await asyncio.sleep(STEP_MS / 1000)
            for venue in self.venues.values():
                if venue.busy:
                    venue.tick(self.clock.now_ms())

    def move_clock(self, target_ms: int) -> None:
        """Run the virtual time up to `target_ms`, market step by step while orders rest.

        Raises:
            ValueError: the clock is real, or `target_ms` lies in the past.
        """
        if not isinstance(self.clock, VirtualClock):
            raise ValueError("the clock is real: start with clock=virtual to move it")
        while (now := self.clock.now_ms()) < target_ms and any(v.engine.live for v in self.venues.values()):
            self.clock.set(min(target_ms, (now // STEP_MS + 1) * STEP_MS))
            for venue in self.venues.values():
                venue.engine.advance(self.clock.now_ms())
        self.clock.set(target_ms)
        for venue in self.venues.values():
            venue.engine.changes.account = True  # so that the moment itself is kept
            venue.tick(target_ms)

    def move_recording(self, *, minute: int | None = None, step: int | None = None) -> int:
        """To recorded minute `minute` of the day, or `step` minutes on. Returns the minute.

        Raises:
            ValueError: the market is no recording, or neither or both are given.
        """
        if self._recording is None:
            raise ValueError("the market is no recording")
        if (minute is None) == (step is None):
            raise ValueError("give minute or step")
        now = self.clock.now_ms()
        target = minute if minute is not None else self._recording.minute(now) + (step or 0)
        self._recording.jump(target, now_ms=now)
        for venue in self.venues.values():
            venue.engine.match_resting()
            venue.tick(now)
        return target


# -- files --


def write_private(path: Path, data: Any) -> None:
    """Whole or not at all, readable by its owner only."""
    beside = path.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with open(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        json.dump(data, file, indent=1)
    beside.replace(path)


def _identity(path: Path) -> dict[str, Any]:
    """Keys, control token and ports: made once, kept for every later start; a new venue gets its own."""
    identity: dict[str, Any] = {"keys": {}, "control_token": secrets.token_hex(16), "ports": {}}
    if path.exists():
        identity = json.loads(path.read_text())
    for name in DIALECTS:
        identity["keys"].setdefault(name, _new_keys(name))
    write_private(path, identity)
    return identity


def _new_keys(name: str) -> dict[str, str]:
    keys = {"api_key": secrets.token_hex(32), "api_secret": secrets.token_hex(32)}
    return keys | ({"api_passphrase": secrets.token_hex(8)} if name == okx.NAME else {})


def _locked(path: Path) -> IO[str]:
    """Held until the process ends, however it ends."""
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise AlreadyRunning(f"{path} is held: the paper venues of this data directory run already") from None
    return file


# -- command --


def add_arguments(parser: Any) -> None:
    """For argparse, and for the management command of the same name."""
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument(
        "--market",
        help="generator, or recording:<folder>: Lean's cryptofuture (minutes) or hftbacktest's "
        "usdm_*.gz and spot_*.gz (ticks)",
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--speed", type=float, help="multiplies recorded time")
    parser.add_argument("--clock", choices=("real", "virtual"), default="real")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m trading.paper", description=__doc__)
    add_arguments(parser)
    options = parser.parse_args(argv)
    if options.data_dir is None:
        parser.error("--data-dir is required")
    return run(
        options.data_dir,
        market=options.market or "generator",
        seed=1 if options.seed is None else options.seed,
        speed=options.speed or 1,
        virtual=options.clock == "virtual",
    )


def run(data_dir: Path, *, market: str, seed: int, speed: float, virtual: bool) -> int:
    """Serve until SIGTERM or SIGINT. Returns the exit code."""
    venues = PaperVenues(data_dir, market=market, seed=seed, speed=speed, virtual=virtual)
    try:
        asyncio.run(_serve(venues))
    except (AlreadyRunning, ValueError, OSError) as error:
        print(f"paper venues: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(venues: PaperVenues) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with venues:
        where = " ".join(f"{name}={venue.base_url}" for name, venue in venues.venues.items())
        print(f"paper venues ready {where}", flush=True)
        await stopped.wait()
