"""How many calls in doubt a run leaves for a person to decide about."""

from __future__ import annotations

import time

from bulk_unenroll.commands.options import Settings
from bulk_unenroll.ledger.counts import doubts_of_an_outage
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.interface import LedgerReader


def held_doubts(reader: LedgerReader, settings: Settings) -> int:
    """See ``doubts_of_an_outage``."""
    return doubts_of_an_outage(
        reader,
        confirmed_ids(reader.sources()),
        settings.send.resend_after_s(time.time()),
        settings.send.concurrency,
    )
