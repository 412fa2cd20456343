"""The log of what really happened: in memory, and on disk before a call is answered."""

from __future__ import annotations

import json
from collections import Counter, deque
from pathlib import Path
from typing import Any, Final

from bulk_unenroll.sandbox.api import Outcome
from bulk_unenroll.sandbox.rules import Call

MAX_CALLS: Final = 2_000_000
FIELDS: Final = (*Call._fields, "applied", "act", "answer", "code")


class CallLog:
    """The last ``MAX_CALLS`` calls in order of arrival, and counts of all.

    Appends one JSON object per line to ``journal``, which is made 0600. Raises ``OSError``.
    """

    def __init__(self, journal: Path | None) -> None:
        self.answers: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        # plain tuples, because there can be millions: the garbage collector does not track them
        self._calls: deque[tuple[Any, ...]] = deque(maxlen=MAX_CALLS)
        self._journal = None
        if journal is not None:
            journal.touch(0o600)
            # unbuffered, so that a line is written before the answer is sent
            self._journal = journal.open("ab", buffering=0)

    def add(self, call: Call, outcome: Outcome) -> None:
        """Log a call that is about to be answered."""
        entry = (*call, outcome.applied, outcome.act, outcome.seen_as, outcome.code)
        self._calls.append(entry)
        self.answers[str(outcome.seen_as)] += 1
        if outcome.code is not None:
            self.codes[str(outcome.code)] += 1
        if self._journal is not None:
            self._journal.write(json.dumps(_document(entry)).encode() + b"\n")

    def calls(self) -> list[dict[str, Any]]:
        """Return each call as a JSON object."""
        return [_document(entry) for entry in self._calls]

    def reset(self) -> None:
        """Forget the calls in memory; the journal is kept."""
        self._calls.clear()
        self.answers.clear()
        self.codes.clear()

    def close(self) -> None:
        """Close the journal."""
        if self._journal is not None:
            self._journal.close()


def _document(entry: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(FIELDS, entry, strict=True))
