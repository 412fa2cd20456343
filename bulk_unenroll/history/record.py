"""What a run folder is remembered by: its inputs, its targets, a sample of its customers. Pure."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

CONFIRMED_KEPT: Final = 30
PLANNED_KEPT: Final = 5
HASH_BYTES: Final = 8
LEAST_COMPARED: Final = 5
"""A share of fewer sampled customers than this says nothing."""


@dataclass(frozen=True, slots=True)
class Customers:
    """A fair sample of the customers of an input: those with the smallest ``mix``, in its order.

    ``until`` is the largest mix of a customer that would be in the sample.
    """

    ids: Sequence[int] = ()
    mixes: Sequence[int] = ()
    until: int = 0


@dataclass(frozen=True, slots=True)
class Content:
    """An input in one content, as it was planned. Times are Unix seconds.

    ``targets`` are its customers by ``org/group/target``; ``hashes`` the keyed hashes of the
    sampled customers, and ``until`` as in ``Customers``.
    """

    path: str
    sha256: str
    rows: int
    targets: Mapping[str, int]
    hashes: Sequence[str]
    until: int
    planned_s: float
    confirmed_s: float | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What is remembered of a run folder.

    ``place`` is the API's host; "" where nobody named it yet. ``taken`` counts the customers that
    were taken out, by target. ``salt`` is the key of the hashes, in hex, and tells this folder from
    a later one with the same path.
    """

    folder: str
    place: str
    salt: str = field(default_factory=lambda: secrets.token_hex(16))
    contents: Sequence[Content] = ()
    taken: Mapping[str, int] = field(default_factory=dict)

    def hashes(self, ids: Iterable[int]) -> list[str]:
        """The keyed hashes of customers."""
        key = bytes.fromhex(self.salt)
        return [
            hashlib.blake2b(str(one).encode(), digest_size=HASH_BYTES, key=key).hexdigest()
            for one in ids
        ]

    def found_in(self, content: Content, customers: Customers) -> set[int]:
        """Those of the sampled ``customers`` that are in the sample of a content, too."""
        known = set(content.hashes)
        pairs = zip(customers.ids, self.hashes(customers.ids), strict=True)
        return {one for one, name in pairs if name in known}

    def share_in(self, content: Content, customers: Customers) -> float:
        """Which share of ``customers`` is in a content of this record, as far as samples show."""
        return share_of(self.found_in(content, customers), customers, content.until)

    def with_content(self, content: Content) -> Record:
        """This record with an input as it is now; what was confirmed stays confirmed."""
        same = [c for c in self.contents if _key(c) == _key(content)]
        others = [c for c in self.contents if _key(c) != _key(content)]
        confirmed = [c.confirmed_s for c in same if c.confirmed_s is not None]
        if content.confirmed_s is None and confirmed:
            content = replace(content, confirmed_s=confirmed[-1])
        return replace(self, contents=_latest([*others, content]))

    def as_json(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises ``KeyError``, ``TypeError`` or ``ValueError`` where it is none."""
        bytes.fromhex(value["salt"])
        return cls(
            str(value["folder"]),
            str(value["place"]),
            value["salt"],
            [Content(**content) for content in value["contents"]],
            {str(name): int(number) for name, number in value["taken"].items()},
        )


def share_of(found: Collection[int], customers: Customers, until: int) -> float:
    """Which share of ``customers`` was ``found``, where samples are compared up to this mix."""
    pairs = zip(customers.ids, customers.mixes, strict=True)
    ids = [one for one, mix in pairs if mix <= until]
    return sum(one in found for one in ids) / len(ids) if len(ids) >= LEAST_COMPARED else 0.0


def _latest(contents: Sequence[Content]) -> list[Content]:
    """The last of them; what was only planned does not push out what was confirmed."""
    confirmed = [content for content in contents if content.confirmed_s is not None]
    planned = [content for content in contents if content.confirmed_s is None]
    return [*confirmed[-CONFIRMED_KEPT:], *planned[-PLANNED_KEPT:]]


def _key(content: Content) -> tuple[object, ...]:
    return content.path, content.sha256, tuple(sorted(content.targets))
