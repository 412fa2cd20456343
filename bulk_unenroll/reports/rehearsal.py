"""Whether the calls of a folder are a rehearsal: a fact of its ledger, for ever."""

from __future__ import annotations

from bulk_unenroll.capillary.base_url import is_on_this_machine
from bulk_unenroll.ledger.interface import LedgerReader


def is_rehearsal(reader: LedgerReader) -> bool:
    """Whether the folder's calls go to the sandbox; False where nothing was confirmed yet."""
    kind = kind_of(reader)
    return reader.base_url() is not None if kind is None else kind


def kind_of(reader: LedgerReader) -> bool | None:
    """True for a rehearsal, False for the real thing; None where the folder may become either.

    That is a new one, or one of an older version, which did not note it, that called this machine.
    """
    said: bool | None = reader.settings().get("sandbox")
    base_url = reader.base_url()
    if said is None and base_url is not None and not is_on_this_machine(base_url):
        return False
    return said
