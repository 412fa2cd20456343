"""A sender that shares its run falls silent before others take over from it."""

from __future__ import annotations

from bulk_unenroll.ledger.sharing import Sharing
from bulk_unenroll.model import Call, Enrollment, Target
from bulk_unenroll.option_values import Limit
from bulk_unenroll.sending.lease import MARGIN_S, Lease
from bulk_unenroll.sending.safeguards import Canary
from bulk_unenroll.sending.sieve import Sieve

SHARING = Sharing(ttl_s=15.0, beat_s=5.0, turn_s=0.05)
CALL = Call(1, Enrollment(7, Target(None, 1, 2)))


def test_it_ends_a_margin_before_others_may_take_over() -> None:
    now_s = 100.0
    lease = Lease(SHARING, lambda: now_s)
    asked_s = lease.asked()
    now_s = 104.0  # the turn took so long: it counts from before it was asked for
    lease.renew(asked_s)
    now_s = 100.0 + 15.0 - MARGIN_S - 0.1
    assert lease.holds()
    now_s = 100.0 + 15.0 - MARGIN_S
    assert not lease.holds()


def test_who_sends_alone_has_one_without_end() -> None:
    now_s = 0.0
    lease = Lease(None, lambda: now_s)
    now_s = 1e9
    assert lease.holds()


def test_nothing_leaves_once_it_has_ended() -> None:
    now_s = 0.0
    sieve = Sieve(Canary(0, Limit(50, percent=True)), None, Lease(SHARING, lambda: now_s))
    assert sieve.passes(CALL)
    now_s = 15.0
    assert not sieve.passes(CALL)
