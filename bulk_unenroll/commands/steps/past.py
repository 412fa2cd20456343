"""What was done before: read for a plan, and kept up to date by plans and runs."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bulk_unenroll.capillary.base_url import host_of
from bulk_unenroll.history.record import Content, Record
from bulk_unenroll.history.store import History, state_folder
from bulk_unenroll.ledger.counts import known_by_target
from bulk_unenroll.ledger.facts import StateCount
from bulk_unenroll.ledger.interface import Ledger, LedgerReader
from bulk_unenroll.model import Target
from bulk_unenroll.reports.alarms.seen import target_key
from bulk_unenroll.reports.plan import Destination
from bulk_unenroll.settings import RunSettings

OFF = "off"
ASKED = "asked_targets"
HELD = "held_targets"
"""Under these names the ledger notes targets: a person was asked about them, or is to be asked."""


def state_of(settings: RunSettings) -> Path | None:
    """The folder for what programs of this user remember; None for a rehearsal, or with ``off``."""
    if settings.sandbox or settings.history == OFF:
        return None
    return Path(settings.history) if settings.history else state_folder()


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of a folder and of others that call the same API.

    ``place`` is empty where it is not known which API that is, and None for a rehearsal, which has
    no past.
    """

    history: History
    place: str | None
    folder: str

    @classmethod
    def of(cls, settings: RunSettings, to: Destination, folder: Path) -> Past:
        """The past of a run folder."""
        place = None if to.rehearsal else host_of(to.base_url or "")
        return cls(History(state_of(settings)), place, str(folder.absolute()))

    def here(self, reader: LedgerReader) -> Record | None:
        """What is known of this folder; None if nothing is."""
        noted = reader.note("history")
        if self.place is None or not noted:
            return None
        record = Record.from_json(json.loads(noted))
        if self.place and record.place not in ("", self.place):
            return None
        return replace(record, place=record.place or self.place, folder=self.folder)

    def others(self, reader: LedgerReader) -> list[Record]:
        """What is known of other folders, also of one that had the path of this one before."""
        if not self.place:
            return []
        here = self.here(reader)
        found = self.history.records(self.place, Path(self.folder))
        return [record for record in found if here is None or record.salt != here.salt]

    def note_plan(self, ledger: Ledger, sources: Sequence[int], *, confirmed: bool) -> None:
        """Note the inputs of a plan, or of a run."""
        if self.place is None:
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
        open_ = _noted(ledger.reader, HELD) - _noted(ledger.reader, ASKED)
        self._save(ledger, replace(record, taken=_taken(ledger.reader, open_)))

    def unknown(self, ledger: Ledger, targets: Sequence[Target]) -> list[Target]:
        """Those of ``targets`` that a person must be asked about.

        Nobody was ever taken out of them, or only by a canary that was cut short, so that nobody
        was asked. For that they are noted here, before the first call, until ``note_asked``.
        """
        if not self.place:
            return []
        reader = ledger.reader
        asked, held = _noted(reader, ASKED), _noted(reader, HELD)
        known = {name for record in self.others(reader) for name in record.taken}
        known |= asked | _taken(reader, held).keys()
        found = [target for target in targets if target_key(target) not in known]
        if new := {*map(target_key, found)} - held:
            _note(ledger, HELD, held | new)
        return found

    def note_asked(self, ledger: Ledger, targets: Sequence[Target]) -> None:
        """Note that a person was asked about these targets."""
        _note(ledger, ASKED, _noted(ledger.reader, ASKED) | set(map(target_key, targets)))

    def _save(self, ledger: Ledger, record: Record) -> None:
        ledger.note("history", json.dumps(record.as_json()))
        if record.place:
            self.history.save(record)


def _noted(reader: LedgerReader, name: str) -> set[str]:
    """The targets that a ledger notes under a name."""
    return set(json.loads(reader.note(name) or "[]"))


def _note(ledger: Ledger, name: str, targets: Iterable[str]) -> None:
    ledger.note(name, json.dumps(sorted(targets)))


def _taken(reader: LedgerReader, but: Collection[str]) -> dict[str, int]:
    """How many customers were taken out of each target, ``but`` for some targets."""
    sources = [source.id for source in reader.sources() if source.confirmed_s is not None]
    known = {target_key(t): one.succeeded for t, one in known_by_target(reader, sources).items()}
    return {name: number for name, number in known.items() if number and name not in but}


def _targets(counts: Sequence[StateCount]) -> Mapping[str, int]:
    found: dict[str, Any] = {}
    for some in counts:
        key = target_key(some.target)
        found[key] = found.get(key, 0) + some.number
    return found
