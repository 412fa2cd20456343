"""Go on with what is confirmed in a folder and not settled."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bulk_unenroll.commands.options import Settings, holding_doubts
from bulk_unenroll.commands.steps.connect import (
    api,
    check_goes_on,
    check_orgs,
    check_same_api,
    destination_of,
    working_ledger,
)
from bulk_unenroll.commands.steps.doubts import held_doubts
from bulk_unenroll.commands.steps.memory import as_last_time, kept_in
from bulk_unenroll.commands.steps.past import Past
from bulk_unenroll.commands.steps.placing import engine_of
from bulk_unenroll.commands.steps.reading import with_listed
from bulk_unenroll.commands.steps.sending import Control, Order, Sending
from bulk_unenroll.commands.steps.stops import check_window
from bulk_unenroll.commands.steps.what_is_left import WhatIsLeft
from bulk_unenroll.errors import Next, UsageError
from bulk_unenroll.inputs.never import read_never
from bulk_unenroll.ledger.facts import confirmed_ids
from bulk_unenroll.ledger.interface import Reopening, Trust
from bulk_unenroll.ledger.opening import existing_folder
from bulk_unenroll.log import get_logger
from bulk_unenroll.reports.summary import Summary
from bulk_unenroll.sending.open_files import allow_open_files

HELD: Final = "so many at once look like an outage: look some up, then `retry --state in_doubt`"
NOTHING_CONFIRMED: Final = "nothing in this folder was confirmed by a `run`"

log = get_logger()


def resumed(
    folder: Path,
    settings: Settings,
    reopening: Reopening | None,
    order: Order,
    control: Control,
) -> Summary:
    folder = existing_folder(folder)
    trust = Trust.LOOK if order.dry_run else order.trust
    with working_ledger(folder, make=False, trust=trust) as ledger:
        reader = ledger.reader
        sources = confirmed_ids(reader.sources())
        if not sources:
            then = Next("run", ("INPUT",), {"out": str(folder)})
            raise UsageError(NOTHING_CONFIRMED, next=then)
        check_goes_on(reader, folder, settings.given, _without_options(folder, reopening))
        settings = with_listed(as_last_time(settings, reader))
        if not order.dry_run:
            check_window(settings.run)
        allow_open_files(settings.send.concurrency)
        never = read_never(settings.run.never)
        kept = kept_in(reader, settings)
        if held := held_doubts(reader, settings):
            log.warning("in_doubt_held", customers=held, hint=HELD)
            settings = holding_doubts(settings)
        with api(settings.run, reader.base_url()) as endpoint:
            if not settings.run.sandbox:
                check_same_api(reader, endpoint)
            check_orgs(ledger, endpoint)
            to = destination_of(endpoint, settings.run)
            left = WhatIsLeft(reader, folder, sources, settings, reopening, to, never.sha256)
            if order.dry_run:
                return left.dry_run(ledger, order.plan)
            number = left.reopen(ledger, order.plan)
            if reopening:
                log.info("reopened", customers=number)
            name, nothing = left.name, left.nothing(number)
            ledger.remember(kept)
            past = Past.of(settings.run, to, folder)
            with engine_of(folder, settings) as engine:
                sending = Sending(
                    folder,
                    ledger,
                    endpoint,
                    sources,
                    settings,
                    control,
                    never,
                    past,
                    engine=engine,
                )
                return sending.send(name, nothing)


def _without_options(folder: Path, reopening: Reopening | None) -> Next:
    """The command as it was given, but for the options of how to send."""
    if reopening is None:
        return Next("resume", (str(folder),))
    chosen = {
        "state": [state.value for state in reopening.states],
        "code": reopening.codes,
        "target": reopening.targets,
    }
    return Next("retry", (str(folder),), {name: texts for name, texts in chosen.items() if texts})
