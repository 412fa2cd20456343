"""The first time that somebody is taken out of a target at a host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bulk_unenroll.model import Target

SHOWN_TARGETS: Final = 5


@dataclass(frozen=True, slots=True)
class FirstTime:
    """Targets out of which nobody was ever taken at a host; none: there is nothing to ask."""

    host: str = ""
    targets: Sequence[Target] = ()

    def __bool__(self) -> bool:
        return bool(self.targets)

    @property
    def reason(self) -> str:
        """Why the run stops after the canary; "" if it does not."""
        if not self.targets:
            return ""
        shown = ", ".join(map(str, self.targets[:SHOWN_TARGETS]))
        more = len(self.targets) - SHOWN_TARGETS
        return (
            f"this is the first time for {shown}{f' and {more} more targets' if more > 0 else ''}"
            f" at {self.host}: look one of the first customers up there, before the others are"
            " called"
        )

    @property
    def question(self) -> str:
        """What a person at a terminal is asked."""
        return f"The first calls succeeded, and {self.reason}"
