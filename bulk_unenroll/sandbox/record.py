"""What really happened: in memory, and line by line on disk before anyone is answered."""

from __future__ import annotations

import json
from collections import Counter, deque
from pathlib import Path
from typing import Any, Final

from bulk_unenroll.sandbox.api import Deed
from bulk_unenroll.sandbox.rules import Call

MOST_CALLS: Final = 2_000_000
FIELDS: Final = (*Call._fields, "applied", "act", "answer", "code")


class Record:
    """The last two million calls in order of arrival, and counts of all.

    ``journal`` is appended to, 0600, one JSON object a line; raises ``OSError``.
    """

    def __init__(self, journal: Path | None) -> None:
        self.answers: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        # plain tuples: the garbage collector leaves those alone, and there can be millions
        self._calls: deque[tuple[Any, ...]] = deque(maxlen=MOST_CALLS)
        self._journal = None
        if journal is not None:
            journal.touch(0o600)
            # unbuffered: a line is with the system before the answer is
            self._journal = journal.open("ab", buffering=0)

    def note(self, call: Call, deed: Deed) -> None:
        """Keep what is about to be answered."""
        entry = (*call, deed.applied, deed.act, deed.seen_as, deed.code)
        self._calls.append(entry)
        self.answers[str(deed.seen_as)] += 1
        if deed.code is not None:
            self.codes[str(deed.code)] += 1
        if self._journal is not None:
            self._journal.write(json.dumps(_document(entry)).encode() + b"\n")

    def calls(self) -> list[dict[str, Any]]:
        """Each call as a JSON object."""
        return [_document(entry) for entry in self._calls]

    def forget(self) -> None:
        """Empty what is in memory; the journal goes on."""
        self._calls.clear()
        self.answers.clear()
        self.codes.clear()

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()


def _document(entry: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(FIELDS, entry, strict=True))
