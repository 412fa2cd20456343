"""Notes that every kind of ledger keeps in the same way: text under a name."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

from bulk_unenroll.ledger.facts import WrittenFile
from bulk_unenroll.ledger.interface import LedgerReader

SETTINGS: Final = "settings"
PLANS: Final = "plans"
FAILED_FILE: Final = "failed_file"
PLANS_KEPT: Final = 20


class Notes(ABC):
    """See ``Ledger``: what a ledger notes, each by one ``note``."""

    reader: LedgerReader

    @abstractmethod
    def note(self, name: str, text: str) -> None:
        """See ``Ledger.note``."""

    def remember(self, settings: Mapping[str, object]) -> None:
        """See ``Ledger.remember``."""
        if settings != self.reader.settings():
            self.note(SETTINGS, as_text(settings))

    def note_failed_file(self, written: WrittenFile) -> None:
        """See ``Ledger.note_failed_file``."""
        self.note(FAILED_FILE, json.dumps(written, ensure_ascii=False))

    def note_plan(self, plan_id: str, parts: Mapping[str, object]) -> None:
        """See ``Ledger.note_plan``."""
        plans = self.reader.plans()
        plans.pop(plan_id, None)
        kept = dict(list(plans.items())[1 - PLANS_KEPT :])
        self.note(PLANS, as_text({**kept, plan_id: dict(parts)}))


def as_text(values: Mapping[str, object]) -> str:
    """Values that JSON has, as they are noted."""
    return json.dumps(dict(values), ensure_ascii=False)
