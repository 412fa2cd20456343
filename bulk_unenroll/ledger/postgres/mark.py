"""Whether a ledger is behind: restored from an older copy, it does not know who was called since.

Each turn of a sender is numbered. So a run folder notes beside its results how many turns of which
run it has seen, in ``ledger.mark``: a ledger that has fewer lost some. A folder that saw none of
them cannot tell: it only sees that nobody was there for long, and leaves the rest to a person.
See decision 23.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bulk_unenroll.errors import LedgerBehind
from bulk_unenroll.ledger.interface import Trust
from bulk_unenroll.ledger.postgres.connection import Connection

NAME: Final = "ledger.mark"
UNATTENDED_S: Final = 900.0
"""If no sender was seen for this long on a run that did not end, only a person goes on with it."""
RESTORED: Final = "restored"
"""Under this name a job notes when a person went on with it though it was behind (Unix seconds)."""
LOOK: Final = "compare it with what the API shows; to go on with what it has, a person may"


@dataclass(frozen=True, slots=True)
class Seen:
    """How many turns of a job's run were seen, and when (Unix seconds of the server's clock)."""

    job: str
    run_id: str
    turns: int
    at_s: float


class Mark:
    """What a run folder has seen of its job. If it cannot be written, the run goes on without."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def note(self, seen: Seen) -> None:
        """Note what was seen."""
        part = self._path.with_name(f".{NAME}.part")
        with suppress(OSError):
            part.touch(mode=0o600)
            part.write_text(json.dumps(asdict(seen)), "utf-8")
            part.replace(self._path)

    def read(self, job: str) -> Seen | None:
        """What was noted last of a job."""
        seen = self._read()
        return seen if seen and seen.job == job else None

    def _read(self) -> Seen | None:
        try:
            found: dict[str, Any] = json.loads(self._path.read_text("utf-8"))
            return Seen(
                str(found["job"]), str(found["run_id"]), int(found["turns"]), float(found["at_s"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None


@dataclass(frozen=True, slots=True)
class Standing:
    """The last run of a ledger, as far as it knows.

    ``idle_s``: for how many seconds nobody was seen on it; None if it has ended.
    """

    last_run: str
    turns: int
    idle_s: float | None

    def is_as_seen(self, seen: Seen | None) -> bool:
        """Whether ``seen`` knows all of its turns but one, whose answer a kill may have lost."""
        return (
            seen is not None
            and seen.run_id == self.last_run
            and self.turns - 1 <= seen.turns <= self.turns
        )


def check_not_behind(connection: Connection, mark: Mark | None, trust: Trust) -> None:
    """Raise ``LedgerBehind`` (74) for a ledger that does not know, or may not, who was called."""
    if trust is Trust.RESTORED:
        connection.execute("note_restored")
    if trust in (Trust.RESTORED, Trust.LOOK):
        return
    seen = mark.read(connection.address.job) if mark else None
    if seen and (lost := _lost(connection, seen)):
        raise LedgerBehind(
            f"the ledger is an older copy: it lacks {lost} that this machine saw, and does not know"
            " who was called in them",
            f"{LOOK} `resume --restored`, which calls them again",
        )
    found = connection.fetch_all("last_run")
    if trust is Trust.USUAL and found:
        _check_attended(Standing(*found[0]), seen)


def check_attended(connection: Connection) -> None:
    """Raise ``LedgerBehind`` (74) unless a sender was seen lately on the run to be joined."""
    for found in connection.fetch_all("last_run"):
        _check_attended(Standing(*found), None)


def _check_attended(last: Standing, seen: Seen | None) -> None:
    idle_s = last.idle_s
    if idle_s is not None and idle_s > UNATTENDED_S and not last.is_as_seen(seen):
        raise LedgerBehind(
            f"nobody was seen on this run for {idle_s / 60:.0f} minutes: if the ledger was restored"
            " from a copy, it does not know who was called since",
            f"{LOOK} `resume`; then others join again",
        )


def _lost(connection: Connection, seen: Seen) -> str:
    """What a ledger lacks of what was seen; "" if nothing, or if a person knows of it."""
    restored_s = float(connection.meta(RESTORED) or 0.0)
    if restored_s > seen.at_s:
        return ""
    found = connection.fetch_all("turns_of_run", run_id=seen.run_id)
    if not found:
        return f"the run {seen.run_id}"
    missing = seen.turns - int(found[0][0])
    return f"{missing} turns of the run {seen.run_id}" if missing > 0 else ""
