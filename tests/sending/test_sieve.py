"""Which claimed calls may still leave."""

from __future__ import annotations

import pytest

from bulk_unenroll.model import Blocked, Call, Enrollment, Target
from bulk_unenroll.option_values import Limit
from bulk_unenroll.sending.safeguards import Canary
from bulk_unenroll.sending.sieve import Sieve

HALF = Limit(50, percent=True)
TARGET = Blocked(None, 1001, 2001, "310018", "no such target")
GROUP = Blocked(None, 1001, None, "310017", "no such group")


def call(
    group: int = 1001, rule: int = 2001, *, org: int | None = None, doubtful: bool = False
) -> Call:
    return Call(1, Enrollment(7, Target(org, group, rule)), doubtful=doubtful)


@pytest.fixture
def sieve() -> Sieve:
    return Sieve(Canary(0, HALF))


def test_at_first_every_call_passes(sieve: Sieve) -> None:
    assert sieve.passes(call())
    assert sieve.passes(call(org=5))
    assert sieve.passes(call(doubtful=True))


def test_after_a_stop_none_does(sieve: Sieve) -> None:
    sieve.stopped = True
    assert not sieve.passes(call())
    assert not sieve.passes(call(doubtful=True))


def test_a_blocked_target_keeps_back_its_own_calls(sieve: Sieve) -> None:
    sieve.block(TARGET)
    assert not sieve.passes(call())
    assert sieve.block_of(call()) == TARGET
    for other in (call(rule=2002), call(group=1002), call(org=5)):
        assert sieve.passes(other)
        assert sieve.block_of(other) is None


def test_a_blocked_group_keeps_back_all_its_targets(sieve: Sieve) -> None:
    sieve.block(GROUP)
    for rule in (2001, 2002):
        assert sieve.block_of(call(rule=rule)) == GROUP
    assert sieve.passes(call(group=1002))
    assert sieve.passes(call(org=5))


def test_the_same_numbers_in_another_org_are_another_target(sieve: Sieve) -> None:
    sieve.block(Blocked(5, 1001, 2001, "310018", "no such target"))
    assert not sieve.passes(call(org=5))
    assert sieve.passes(call(org=6))
    assert sieve.passes(call())


def test_a_call_in_doubt_is_not_kept_back_by_a_block(sieve: Sieve) -> None:
    sieve.block(TARGET)
    assert sieve.passes(call(doubtful=True))


def test_a_halted_org_keeps_back_its_calls_in_doubt_too(sieve: Sieve) -> None:
    sieve.halted_orgs.add(5)
    assert not sieve.passes(call(org=5))
    assert not sieve.passes(call(org=5, doubtful=True))
    assert sieve.passes(call(org=6))
    assert sieve.passes(call())


def test_zero_is_the_org_of_self(sieve: Sieve) -> None:
    sieve.halted_orgs.add(0)
    assert not sieve.passes(call())
    assert sieve.passes(call(org=5))


def test_a_canary_that_died_lets_none_pass() -> None:
    canary = Canary(1, HALF, admitted={1})
    sieve = Sieve(canary)
    assert sieve.passes(call())
    canary.close()
    assert not sieve.passes(call())
