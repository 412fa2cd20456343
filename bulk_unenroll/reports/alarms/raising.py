"""Which alarms some inputs raise."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.model import Alarm
from bulk_unenroll.reports.alarms import files, ids, targets
from bulk_unenroll.reports.alarms.seen import SHARES_FROM, Seen


class AlarmsRaised(InputRefused):
    """Alarms that nobody allowed; nothing is sent."""

    def __init__(self, alarms: Sequence[Alarm]) -> None:
        seen = " ".join(f"{alarm.name}: {alarm.text}" for alarm in alarms)
        names = " ".join(f"--allow {alarm.name}" for alarm in alarms)
        super().__init__(
            f"{'alarms' if len(alarms) > 1 else 'alarm'} {seen} Nothing was sent",
            f"check the file; if it is right all the same, add {names}",
            instead="plan",
        )


def alarms(seen: Seen) -> list[Alarm]:
    """The alarms that these inputs raise, in the order of ``NAMES``."""
    has_shares = seen.to_call >= SHARES_FROM
    return [
        Alarm(name, text)
        for name, (judge, weighs_shares) in _JUDGES.items()
        if has_shares or not weighs_shares
        for text in judge(seen)
    ]


_JUDGES: Final = {
    "phones": (ids.of_never_lists_too(ids.phones), True),
    "rounded": (ids.of_never_lists_too(ids.rounded), True),
    "swapped": (targets.swapped, True),
    "own-targets": (targets.own_targets, True),
    "targets-in-sequence": (targets.targets_in_sequence, True),
    "short-ids": (ids.first_of(ids.of_all_and_each(ids.short_ids), ids.repeated), True),
    "in-sequence": (ids.of_all_and_each(ids.in_sequence), True),
    "outliers": (ids.of_all_and_each(ids.outliers), True),
    "more-rows": (files.more_rows, True),
    "second-header": (files.second_header, False),
    "cut-off": (files.cut_off, False),
    "hidden-rows": (files.hidden_rows, False),
    "again": (files.again, False),
    "other-target": (files.other_target, False),
}
"""Of each alarm the function that yields its text, and whether it weighs shares."""
NAMES: Final[Collection[str]] = tuple(_JUDGES)
"""Every alarm, in the order in which they are shown."""
