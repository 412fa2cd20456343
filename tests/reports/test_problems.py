"""The most frequent problems are kept, and what is left out is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.reports.problems import Most


class TestMost:
    @given(st.lists(st.integers(0, 20)), st.integers(0, 5))
    def test_the_heaviest_are_kept_in_order_and_the_others_counted(
        self, weights: list[int], limit: int
    ) -> None:
        most: Most[int] = Most(limit)
        for place, weight in enumerate(weights):
            most.offer(weight, place)
        ranked = sorted(range(len(weights)), key=lambda place: (-weights[place], place))
        assert most.listed() == ranked[:limit]
        assert most.others == len(ranked[limit:])
        assert most.others_weight == sum(weights[place] for place in ranked[limit:])
