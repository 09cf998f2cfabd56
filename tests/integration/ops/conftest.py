from collections.abc import Iterator

import pytest

from ops import checklist
from ops.config import versions
from tests import factories


@pytest.fixture
def house(db: None) -> Iterator[None]:
    """A desk in HOLD and SAFE_MODE, its people, quorum 1."""
    factories.make_desk()
    yield
    versions.forget()


@pytest.fixture
def own_checklist(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the frame's own lines: trading's look at venues, and are tested with them."""
    own = {"hold_causes", "audit_chain"}
    monkeypatch.setattr(checklist, "_items", {n: i for n, i in checklist._items.items() if n in own})
