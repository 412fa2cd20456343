"""What a large source repeats is found beside the ledger, just as its UNIQUE key would."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bulk_unenroll.ledger.batch import staged_batch, staged_row
from bulk_unenroll.ledger.sqlite.repeats import RepeatFinder
from bulk_unenroll.model import MAX_ID, Enrollment, Target

KEYS = st.lists(
    st.tuples(st.sampled_from([1, 2, 5, 2**44, 2**44 + 1, MAX_ID]) | st.integers(1, 30),
              st.integers(1, 3)),
    min_size=1, max_size=60,
)  # fmt: skip


class TestRepeats:
    @settings(max_examples=300)
    @given(KEYS, st.integers(1, 9))
    def test_every_later_row_of_a_customer_and_target_repeats_the_first(
        self, pairs: list[tuple[int, int]], size: int
    ) -> None:
        keys = [Enrollment(customer, Target(None, 1, target)) for customer, target in pairs]
        first: dict[Enrollment, int] = {}
        expected = {
            row: first[key] for row, key in enumerate(keys, 1) if first.setdefault(key, row) != row
        }
        seen = RepeatFinder()
        for start in range(0, len(keys), size):
            rows = enumerate(keys[start : start + size], start + 1)
            batch = staged_batch([staged_row(row, key, ()) for row, key in rows])
            seen.add(batch, [target.rule for target in batch.targets])
        assert dict(seen.repeats()) == expected
        shares = {share.target: (share.items, share.first_row) for share in seen.target_counts()}
        assert shares == {
            rule: (
                sum(key.target.rule == rule for key in first),
                min(row for key, row in first.items() if key.target.rule == rule),
            )
            for rule in {key.target.rule for key in keys}
        }
