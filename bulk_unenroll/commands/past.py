"""What was done before: read for a plan, and kept up to date by plans and runs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bulk_unenroll.history.record import Content, Record
from bulk_unenroll.history.store import History, state_folder
from bulk_unenroll.ledger.counts import known_by_target
from bulk_unenroll.ledger.facts import StateCount
from bulk_unenroll.ledger.interface import Ledger, LedgerReader
from bulk_unenroll.model import Target
from bulk_unenroll.reports.alarms import target_key
from bulk_unenroll.reports.plan import Destination
from bulk_unenroll.settings import RunSettings

OFF = "off"


def state_of(settings: RunSettings) -> Path | None:
    """The folder for what programs of this user remember; None for a rehearsal, or with ``off``."""
    if settings.sandbox or settings.history == OFF:
        return None
    return Path(settings.history) if settings.history else state_folder()


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a folder and of others that call the same API.

    ``place`` is empty where it is not known which API that is, or for a rehearsal: then there is
    no past.
    """

    history: History
    place: str
    folder: str

    @classmethod
    def of(cls, settings: RunSettings, to: Destination, folder: Path) -> Past:
        """The past of a run folder."""
        place = "" if to.rehearsal or not to.base_url else to.place
        return cls(History(state_of(settings)), place, str(folder.absolute()))

    def here(self, reader: LedgerReader) -> Record | None:
        """What is known of this folder; None if nothing is."""
        noted = reader.note("history")
        if not self.place or not noted:
            return None
        record = Record.from_json(json.loads(noted))
        return record if record.place == self.place else None

    def others(self) -> list[Record]:
        """What is known of other folders."""
        if not self.place:
            return []
        found = self.history.records(self.place, Path(self.folder))
        return [record for record in found if record.folder != self.folder]

    def note_plan(self, ledger: Ledger, sources: Sequence[int], *, confirmed: bool) -> None:
        """Note the inputs of a plan, or of a run."""
        if not self.place:
            return
        reader, now_s = ledger.reader, time.time()
        record = self.here(reader) or Record(self.folder, self.place)
        noticed = reader.noticed(sources)
        for source in reader.sources():
            if source.id in sources:
                sample = noticed.get(source.id, {}).get("sample", {})
                content = Content(
                    source.path,
                    source.sha256,
                    source.row_count,
                    _targets(reader.counts_by_target([source.id])),
                    record.hashes(sample.get("ids", ())),
                    int(sample.get("until", 0)),
                    now_s,
                    now_s if confirmed else None,
                )
                record = record.with_content(content)
        self._save(ledger, record)

    def note_end(self, ledger: Ledger) -> None:
        """Note whom a run took out, by target."""
        record = self.here(ledger.reader)
        if record is None:
            return
        known = known_by_target(ledger.reader)
        taken = {target_key(t): one.succeeded for t, one in known.items() if one.succeeded}
        self._save(ledger, replace(record, taken=taken))

    def unknown(self, ledger: Ledger, targets: Sequence[Target]) -> list[Target]:
        """Those of ``targets`` out of which nobody was ever taken, and nobody was asked about."""
        if not self.place:
            return []
        asked = set(json.loads(ledger.reader.note("asked_targets") or "[]"))
        here = {target_key(t) for t, one in known_by_target(ledger.reader).items() if one.succeeded}
        taken = here | asked | {name for record in self.others() for name in record.taken}
        return [target for target in targets if target_key(target) not in taken]

    def note_asked(self, ledger: Ledger, targets: Sequence[Target]) -> None:
        """Note that a person was asked about these targets."""
        asked = set(json.loads(ledger.reader.note("asked_targets") or "[]"))
        ledger.note("asked_targets", json.dumps(sorted(asked | set(map(target_key, targets)))))

    def _save(self, ledger: Ledger, record: Record) -> None:
        ledger.note("history", json.dumps(record.as_json()))
        self.history.save(record)


def _targets(counts: Sequence[StateCount]) -> Mapping[str, int]:
    found: dict[str, Any] = {}
    for some in counts:
        key = target_key(some.target)
        found[key] = found.get(key, 0) + some.number
    return found
