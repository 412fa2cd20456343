"""What a turn of any ledger claims: which calls it may, and the call of a row that it found."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from bulk_unenroll.ledger.statements import Row
from bulk_unenroll.model import Call, Enrollment, Target

SPREAD_ROWS: Final = 10_000
"""How far a target's next call is looked for, so that a target without any costs little."""


class ClaimFilter(NamedTuple):
    """Calls of no org in ``halted``, and where ``only`` is given, of these items alone.

    ``spread``: from as many targets as there are.
    """

    now_s: float
    halted: list[int]
    only: list[int] | None
    spread: bool

    @classmethod
    def of(
        cls, now_s: float, halted_orgs: Iterable[int], only: Collection[int] | None, *, spread: bool
    ) -> ClaimFilter:
        """The filter of a turn's arguments."""
        return cls(now_s, list(halted_orgs), None if only is None else list(only), spread)


def call_of(row: Row) -> Call:
    """The call of a row that a claim found."""
    item, org, group, rule, customer, tries, doubtful, *_ = row
    return Call(item, Enrollment(customer, Target(org or None, group, rule)), tries, bool(doubtful))
