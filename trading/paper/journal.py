"""The venue's memory across kill -9: one SQLite file per venue, written before the venue answers.

synchronous=OFF: after the death of a process the page cache still reaches the disk; only a power cut could
lose the last writes, and a paper desk does not insure against that.
"""

import json
import sqlite3
from dataclasses import fields
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from trading.paper.account import Account, Position
from trading.paper.engine import KEPT, Engine
from trading.paper.orders import Bill, Changes, Fill, Order

_TABLES = ("orders", "fills", "bills")
Row = TypeVar("Row", Order, Fill, Bill, Position)


class Journal:
    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        for table in _TABLES:
            self._db.execute(f"CREATE TABLE IF NOT EXISTS {table} (id INTEGER PRIMARY KEY, doc TEXT)")
        self._db.execute("CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), doc TEXT)")

    def close(self) -> None:
        self._db.close()

    def save(self, engine: Engine) -> Changes:
        """Write what changed since the last call, in one transaction, and return it."""
        changes = engine.drain()
        if not changes:
            return changes
        self._db.execute("BEGIN")
        self._write("orders", changes.orders.values())
        self._write("fills", changes.fills)
        self._write("bills", changes.bills)
        state = json.dumps(_state(engine))
        self._db.execute("INSERT OR REPLACE INTO state VALUES (1, ?)", (state,))
        self._db.execute("COMMIT")
        return changes

    def _write(self, table: str, rows: Any) -> None:
        docs = [(row.id, json.dumps(to_doc(row))) for row in rows]
        if docs:
            self._db.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?)", docs)  # noqa: S608

    def load(self, engine: Engine) -> None:
        """Put what was saved into a fresh `engine`; a new file changes nothing."""
        row = self._db.execute("SELECT doc FROM state").fetchone()
        if row is None:
            return
        for order in self._rows("orders", Order):
            engine.orders[order.id] = order
            engine.by_client_id[order.client_order_id] = order.id
            if order.live:
                engine.live[order.id] = order
        engine.fills.update((fill.id, fill) for fill in self._rows("fills", Fill))
        engine.bills.update((bill.id, bill) for bill in self._rows("bills", Bill))
        _restore(engine, json.loads(row[0]))

    def _rows(self, table: str, kind: type[Row]) -> list[Row]:
        """The newest `KEPT`, oldest first, and whatever is live before them."""
        query = f"SELECT doc FROM (SELECT id, doc FROM {table} ORDER BY id DESC LIMIT {KEPT})"  # noqa: S608
        if kind is Order:
            query += " UNION SELECT doc FROM orders WHERE json_extract(doc, '$.status') = 'live'"
        rows = [from_doc(kind, json.loads(doc)) for (doc,) in self._db.execute(query)]
        return sorted(rows, key=lambda row: getattr(row, "id", 0))


def _state(engine: Engine) -> dict[str, Any]:
    account = engine.account
    return {
        "now_ms": engine.now_ms,
        "funded_ms": engine.funded_ms,
        "last": [engine.last_id, engine.last_fill_id, engine.last_bill_id],
        "dead_man": engine.dead_man,
        "hedge_mode": engine.hedge_mode,
        "positions": {base: to_doc(position) for base, position in account.positions.items()},
        "leverage": account.leverage,
        "money": {
            name: str(getattr(account, name)) for name in ("wallet", "fees_paid", "realised", "funding")
        },
    }


def _restore(engine: Engine, state: dict[str, Any]) -> None:
    engine.now_ms, engine.funded_ms = state["now_ms"], state["funded_ms"]
    engine.last_id, engine.last_fill_id, engine.last_bill_id = state["last"]
    engine.dead_man, engine.hedge_mode = dict(state["dead_man"]), state["hedge_mode"]
    engine.account = Account(
        positions={base: from_doc(Position, doc) for base, doc in state["positions"].items()},
        leverage=dict(state["leverage"]),
        **{name: Decimal(value) for name, value in state["money"].items()},
    )


def to_doc(row: Any) -> dict[str, Any]:
    return {f.name: _plain(getattr(row, f.name)) for f in fields(row)}


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return value.value if isinstance(value, Enum) else value


def from_doc(kind: type[Row], doc: dict[str, Any]) -> Row:
    types = _types(kind)
    return kind(**{name: _typed(types[name], value) for name, value in doc.items()})


_known_types: dict[type, dict[str, type]] = {}


def _types(kind: type) -> dict[str, type]:
    if kind not in _known_types:
        hints = get_type_hints(kind)
        _known_types[kind] = {n: next(iter(get_args(h)), h) for n, h in hints.items()}
    return _known_types[kind]


def _typed(kind: type, value: Any) -> Any:
    return value if value is None or isinstance(value, bool) else kind(value)
