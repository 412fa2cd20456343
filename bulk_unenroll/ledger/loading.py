"""How inputs get into a ledger: by one process, or by several that share the parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from bulk_unenroll.ledger.batch import Batch


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What identifies a source, and the columns it brought.

    ``reading``: how it was read. ``part_of``: the folder or glob that it was given by, if any.
    """

    path: str
    name: str
    sha256: str
    reading: str
    header: tuple[str, ...]
    part_of: str = ""


class Into(Protocol):
    """Takes an input: a ledger, or the part of one that this process leased."""

    def load(
        self,
        info: SourceInfo,
        batches: Iterator[Batch],
        noticed: Callable[[], Mapping[str, object]] = dict,
    ) -> int:
        """Plan a source, reading it if this content was not read before; return its id.

        ``batches`` follow each other from row 1 on. They are made in another thread while earlier
        ones are written, few at a time, and must not use the ledger. If they raise, or the program
        is killed, nothing of the source stays. After the last one ``noticed`` is asked what was
        noticed while the source was read: values that JSON has.
        """


@dataclass(frozen=True, slots=True)
class ArrivingPart:
    """An input among several: how others find it, and what tells whether theirs is the same.

    ``file`` is None where only who plans can read it.
    """

    file: Mapping[str, str] | None
    content: str


class LeasedPart(Into, Protocol):
    """A part that this process loads, and no other one meanwhile. ``number`` counts from 1.

    The source that is loaded into it is planned only once all parts are in.
    """

    @property
    def number(self) -> int: ...

    @property
    def part(self) -> ArrivingPart: ...


class SharedLoading(Protocol):
    """How several processes load the parts of an order, of which one plans it.

    What it comes to is the same as if one had loaded them by ``Ledger.load``, one after the other.
    """

    def begin(self, order: Mapping[str, object], parts: Sequence[ArrivingPart]) -> None:
        """Let others load ``parts``, too. ``order`` tells them how: values that JSON has."""

    def order(self) -> Mapping[str, Any] | None:
        """How the parts are to be read that are being loaded now; None where none are."""

    def lease(
        self, before: int = ..., but: Collection[int] = ()
    ) -> AbstractContextManager[LeasedPart | None]:
        """The first part that nobody has loaded or leased, for as long as the context lasts.

        If that ends by an error, or with its process, nothing of the part stays, and another loads
        it. Of the numbers below ``before`` and not in ``but``; None where there is none.
        """

    def sort_out(self) -> bool:
        """Find the repeats in one division of the customers; return whether there was one left.

        Every loader may call it, so that this work is shared, too.
        """

    def loaded(self) -> dict[int, int]:
        """The parts that are in, by number, and how many rows each brought."""

    def finish(self) -> list[int]:
        """All parts are in: find what repeats, and plan the sources; their ids, in order.

        Raises ``Stop`` (70) where not every row is accounted for: then no source is planned.
        """

    def give_up(self) -> None:
        """Drop what was loaded, and disconnect the loaders."""
