"""How the customer ids of an input look, whichever way it is read."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.inputs.tally import SAMPLE, Tally
from bulk_unenroll.ledger.facts import IdFacts
from bulk_unenroll.model import MAX_ID


def tally(ids: Sequence[int], size: int = 1000, *, as_array: bool = False) -> IdFacts:
    found = Tally()
    for start in range(0, len(ids), size):
        some = ids[start : start + size]
        as_read = np.array(some, dtype=np.int64) if as_array else some
        found.add(as_read, range(len(some)), start + 1)
    return found.facts()


def spread(number: int, width: int, seed: int = 7) -> Iterator[int]:
    dice = random.Random(seed)
    return (4_000_000_000 + dice.randrange(width) for _ in range(number))


@given(st.lists(st.integers(1, MAX_ID) | st.integers(1, 10**6), max_size=80), st.integers(1, 90))
def test_the_counts_are_those_of_the_rows(ids: list[int], size: int) -> None:
    found = tally(ids, size)
    assert found == tally(ids, size, as_array=True)
    assert found.rows == len(ids)
    assert list(found.digits) == [sum(len(str(one)) == n for one in ids) for n in range(20)]
    assert found.thousands == sum(str(one).endswith("000") for one in ids)
    assert found.cut == sum(len(str(one)) > 15 and not str(one)[15:].strip("0") for one in ids)
    pairs = list(zip([-1, *ids], ids, strict=False))
    assert found.steps == sum(abs(after - before) == 1 for before, after in pairs)
    assert found.changes == sum(after != before for before, after in pairs)
    assert found.customers == len(set(ids))


@pytest.mark.parametrize(
    ("number", "is_date"),
    [(20261126, True), (19000101, True), (20261301, False), (20260132, False), (42378933, False)],
)
def test_dates(number: int, is_date: bool) -> None:
    assert tally([number]).dates == is_date


@pytest.mark.parametrize(
    ("number", "is_mobile"),
    [
        (919812345678, True),
        (639171234567, True),
        (971501234567, True),
        (423789336000, False),
        (971401234567, False),
        (9812345678, False),
    ],
)
def test_mobile_numbers(number: int, is_mobile: bool) -> None:
    assert tally([number]).mobile == is_mobile


class TestEstimates:
    """Made from a sample, so that they cost next to nothing."""

    @pytest.mark.parametrize("number", [SAMPLE - 1, SAMPLE, 50_000])
    def test_how_many_customers(self, number: int) -> None:
        ids = random.Random(1).sample(range(10**9), number)
        assert tally([*ids, *ids]).customers == pytest.approx(number, rel=0.1)

    @pytest.mark.parametrize("width", [10**5, 10**7, 10**9])
    @pytest.mark.parametrize("number", [200, 20_000])
    def test_how_wide_the_range_is(self, width: int, number: int) -> None:
        ids = sorted(set(spread(number, width)))
        if len(ids) > number // 2:
            assert tally(ids).width == pytest.approx(width, rel=0.35)

    def test_one_far_away_does_not_matter(self) -> None:
        ids = [*spread(200, 10**6), MAX_ID]
        assert tally(ids).width < 2 * 10**6

    def test_shorter_ids_among_them_do_not_matter(self) -> None:
        ids = [*spread(500, 10**9), *range(423_000_000, 423_000_400)]
        assert tally(ids).width == pytest.approx(10**9, rel=0.35)

    def test_of_nothing(self) -> None:
        assert tally([]) == IdFacts()
