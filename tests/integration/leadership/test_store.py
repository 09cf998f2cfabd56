"""The lease row on PostgreSQL: one winner, fences that only grow, a lapsed term that stays over."""

import threading
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction

from leadership import keeper, store
from leadership.domain.lease import Seen
from leadership.models import Lease, Term
from tests.database import tamper, without_controls
from tests.integration.leadership.conftest import TTL, begin, silent_for
from tests.integration.ops.test_database_controls import execution, order

pytestmark = pytest.mark.usefixtures("desk")
Link = psycopg.Connection[Any]


def test_of_many_that_take_it_at_once_one_does(link: Link) -> None:
    for _ in range(10):
        Lease.objects.update(state="FREE")
        seen, start = store.read(link.cursor()), threading.Barrier(6)
        won: list[str] = []

        def take(name: str, seen: Seen = seen, won: list[str] = won, start: Any = start) -> None:
            with keeper.connect() as own:
                start.wait()
                if store.begin_term(own.cursor(), seen, me=name, host="h", how="free", ttl_sec=TTL):
                    won.append(name)

        threads = [threading.Thread(target=take, args=(f"i{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert won == [Lease.objects.get().owner]
    fences = list(Term.objects.order_by("began_at").values_list("fence", flat=True))
    assert fences == sorted(set(fences))
    assert Term.objects.filter(ended_at=None).count() == 1  # each term was ended by the one that followed


def test_renewed_while_it_lasts(link: Link) -> None:
    fence, cursor = begin(link, "a"), link.cursor()
    before = Lease.objects.get()
    assert store.renew(cursor, fence, me="a", ttl_sec=TTL)
    after = Lease.objects.get()
    assert after.hb_seq == before.hb_seq + 1
    assert after.expires_at > before.expires_at  # type: ignore[operator]
    assert not store.renew(cursor, fence, me="b", ttl_sec=TTL)
    assert not store.renew(cursor, fence - 1, me="a", ttl_sec=TTL)


def test_a_lapsed_term_is_not_revived(link: Link) -> None:
    fence = begin(link, "a")
    silent_for(TTL + 1)
    assert not store.renew(link.cursor(), fence, me="a", ttl_sec=TTL)
    assert not store.drain(link.cursor(), fence, me="a")
    assert not store.release(link.cursor(), fence, me="a", why="", to_another=False)
    for revived in (
        "UPDATE leadership_lease SET expires_at = clock_timestamp() + interval '1 min'",
        "UPDATE leadership_lease SET fence = fence - 1",
        "DELETE FROM leadership_lease",
        "DELETE FROM leadership_term",
    ):
        with pytest.raises(IntegrityError, match=r"revived|only grows|append-only"), transaction.atomic():
            connection.cursor().execute(revived)


def test_a_free_lease_is_not_held_again_under_its_fence(link: Link) -> None:
    fence = begin(link, "a")
    assert store.release(link.cursor(), fence, me="a", why="x", to_another=True)
    row = Lease.objects.get()
    assert (row.state, row.released_by) == ("FREE", "a")
    with pytest.raises(IntegrityError, match="is over"), transaction.atomic():
        Lease.objects.update(state="HELD")
    assert begin(link, "b") == fence + 1
    assert Lease.objects.get().released_by == ""


@pytest.mark.parametrize("table", ["leadership_term", "trading_orderintent"])
def test_a_restored_backup_does_not_issue_a_fence_again(link: Link, table: str) -> None:
    """The lease row is of last week; the outbox, or the history, knows of later terms."""
    begin(link, "a")
    if table == "leadership_term":
        tamper("UPDATE leadership_term SET fence = 90")
    else:
        with without_controls():
            order(execution(), fence=90)
    assert begin(link, "b", "stale") == 91


def test_a_claim_lets_renewals_pass_and_a_new_term_wait(link: Link) -> None:
    fence = begin(link, "a")
    with keeper.connect() as other:
        cursor = other.cursor()
        with transaction.atomic():
            assert store.read(connection.cursor(), hold=True).fence == fence
            assert store.renew(cursor, fence, me="a", ttl_sec=TTL)
            seen = store.read(cursor)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                store.begin_term(cursor, seen, me="b", host="h", how="forced", ttl_sec=TTL)
        assert store.begin_term(cursor, seen, me="b", host="h", how="forced", ttl_sec=TTL) == fence + 1
