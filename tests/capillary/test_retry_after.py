"""How long ``Retry-After`` asks to wait, whatever it holds."""

from __future__ import annotations

import pytest

from bulk_unenroll.capillary.retry_after import retry_after_s
from tests.capillary.test_judge import NOW_S


class TestRetryAfter:
    @pytest.mark.parametrize(
        ("values", "wait_s"),
        [
            ((), None),
            (("0",), 0),
            (("2.5",), 2.5),
            (("-1",), None),
            (("soon",), None),
            (("",), None),
            (("nan",), None),
            (("99999999",), 3600),
            ((f"{NOW_S + 30:.0f}",), 30),
            ((f"{(NOW_S + 30) * 1000:.0f}",), 30),
            ((f"{NOW_S - 30:.0f}",), 0),
            (("2023-11-14T22:13:50Z",), 30),
            (("2023-11-14T23:13:50+01:00",), 30),
            (("2023-11-14T22:13:50",), 30),
            (("1e400",), 3600),
            (("inf",), 3600),
            (("3", "20"), 20),
            (("junk", "4"), 4),
        ],
    )
    def test_seconds(self, values: tuple[str, ...], wait_s: float | None) -> None:
        assert retry_after_s(values, None, NOW_S) == wait_s

    def test_a_date_is_compared_with_the_answer_s_own_date(self) -> None:
        date, later = "Tue, 14 Nov 2000 22:13:20 GMT", "Tue, 14 Nov 2000 22:13:50 GMT"
        assert retry_after_s((later,), date, NOW_S) == 30
        assert retry_after_s(("Tue, 14 Nov 2023 22:13:30 GMT",), None, NOW_S) == 10
        assert retry_after_s((date,), later, NOW_S) == 0
