"""Read the inputs of a plan or a run, and say what a run of them would do."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from bulk_unenroll.capillary.credentials import read_environment
from bulk_unenroll.commands.options import (
    Settings,
    holding_doubts,
    joined_paths,
    keyword_of,
)
from bulk_unenroll.commands.steps.doubts import held_doubts
from bulk_unenroll.commands.steps.loaders import loaders
from bulk_unenroll.commands.steps.memory import plain
from bulk_unenroll.commands.steps.past import Past
from bulk_unenroll.commands.steps.progress_file import ProgressFile
from bulk_unenroll.errors import UsageError
from bulk_unenroll.inputs.finding import STDIN, InputFile, default_folder, find_inputs
from bulk_unenroll.inputs.loading import load
from bulk_unenroll.inputs.never import Never, read_never
from bulk_unenroll.inputs.own_files import check_own, own_folder
from bulk_unenroll.inputs.tally import noticed_of_pending
from bulk_unenroll.ledger.interface import Ledger
from bulk_unenroll.option_values import Limit
from bulk_unenroll.reports.plan import Destination, Plan, survey


@dataclass(frozen=True, slots=True)
class Given:
    """The inputs, and the run folder that they go into.

    ``named``: a person named it. ``own``: the first input is a file of results that lies in it.
    """

    files: list[InputFile]
    folder: Path
    named: bool
    own: bool

    @property
    def size_bytes(self) -> int:
        """The size of those inputs that are files on this machine."""
        paths = [Path(file.path) for file in self.files if not file.url and file.path != STDIN]
        return sum(path.stat().st_size for path in paths if path.is_file())

    @property
    def parts_of(self) -> set[str]:
        """The folders and globs among the inputs."""
        return {file.part_of for file in self.files if file.part_of}


def find_given(
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None,
    settings: Settings,
) -> Given:
    """Find the inputs and their run folder.

    That is ``out``, or the one in which a file of results lies, or one named after the first input.
    """
    names = [os.fspath(name) for name in inputs]
    if not names:
        raise UsageError("no input was given", "give the path of a file")
    files = find_inputs(names)
    own = own_folder(files, settings.read)
    if out is not None:
        folder = Path(out)
    else:
        folder = own or default_folder(names, rehearsal=settings.run.sandbox)
    check_own(files, settings.read, folder, named=out is not None)
    return Given(files, folder, named=out is not None, own=own is not None)


class Surveyed(NamedTuple):
    """The sources of a run, what it would do, with which settings, and whom it never calls."""

    sources: list[int]
    plan: Plan
    settings: Settings
    never: Never
    past: Past


def with_listed(settings: Settings) -> Settings:
    """``settings`` with the never-lists of the environment, which the folder remembers, too."""
    listed = read_environment().never or ""
    more = (Path(name).absolute() for name in listed.split(os.pathsep) if name)
    never = joined_paths(settings.run.never, more)
    return replace(settings, run=replace(settings.run, never=never))


def load_and_survey(
    ledger: Ledger,
    given: Given,
    settings: Settings,
    max_invalid: Limit | None,
    to: Destination,
    progress: ProgressFile,
    spool: Path | None = None,
) -> Surveyed:
    """Load new inputs, and say what a run of them would do; copies of inputs go to ``spool``.

    Rows of a file of results that are in doubt are decided by a person, with ``retry``.
    """
    never = read_never(settings.run.never)
    progress.found(given.size_bytes)
    with loaders(ledger, given.folder, settings.run.loaders):
        sources = load(
            ledger,
            given.files,
            settings.read,
            given.folder,
            named=given.named,
            spool=spool,
            never=never,
            on_read=progress.read,
        )
    noticed = ledger.reader.noticed(sources)
    if any(facts.get("own") for facts in noticed.values()):
        settings = holding_doubts(settings)
    resend_after_s = settings.send.resend_after_s(time.time())
    held = held_doubts(ledger.reader, settings)
    past = Past.of(settings.run, to, given.folder)
    found = survey(
        ledger.reader,
        str(given.folder),
        sources,
        given.parts_of,
        destination=to,
        reading=settings.read.signature(never.sha256),
        rate=settings.send.rate,
        remembered={keyword_of(name): plain(value) for name, value in settings.remembered.items()},
        resend_after_s=math.inf if held else resend_after_s,
        max_invalid=max_invalid,
        allow=settings.run.allow,
        noticed_of_pending=noticed_of_pending,
        here=past.here(ledger.reader),
        records=past.others(ledger.reader),
        held=held,
        listed=len(never) if never else None,
        never=never.ids,
        until=settings.run.closes_at,
    )
    ledger.note_plan(found.id, found.parts)
    return Surveyed(sources, found, settings, never, past)
