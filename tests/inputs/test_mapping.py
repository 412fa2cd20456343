"""How an input is read is part of what it is."""

from __future__ import annotations

import pytest

from bulk_unenroll.inputs.mapping import ReadSettings


def test_the_signature_depends_on_constants_but_not_on_the_order_of_columns() -> None:
    assert ReadSettings(target_id=1).signature() != ReadSettings(target_id=2).signature()
    assert ReadSettings(columns=[("a", "b"), ("c", "d")]).signature() == (
        ReadSettings(columns=[("c", "d"), ("a", "b")]).signature()
    )


@pytest.mark.parametrize(
    "other",
    [
        {"delimiter": ";"},
        {"encoding": "cp1252"},
        {"columns": [("customerId", "a")]},
        {"target_group_id": 1},
        {"target_id": 1},
        {"data_scope_org": 1},
    ],
)
def test_everything_that_changes_the_meaning_of_a_row_changes_the_signature(
    other: dict[str, object],
) -> None:
    assert ReadSettings(**other).signature() != ReadSettings().signature()  # type: ignore[arg-type]
