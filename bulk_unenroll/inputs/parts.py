"""An order of several inputs, its parts, which several processes load.

One of them plans: it begins the order, loads parts as the others do, and closes the account. Who
cannot read a part as it was planned leaves it to another one, at last to who plans. So only who
plans refuses an order, and for the same reason as if it had read all by itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bulk_unenroll import remote
from bulk_unenroll.errors import (
    FolderUnusable,
    InputMissing,
    InputRefused,
    LedgerFailed,
    Misconfigured,
    Stop,
    UsageError,
)
from bulk_unenroll.inputs.finding import InputFile
from bulk_unenroll.inputs.formats.records import changed
from bulk_unenroll.inputs.loader import Loader, OnRead, Progress
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.never import read_never
from bulk_unenroll.inputs.own_files import is_own
from bulk_unenroll.inputs.source import Source, open_source
from bulk_unenroll.ledger.loading import ArrivingPart, LeasedPart, SharedLoading
from bulk_unenroll.log import get_logger

LOOK_S: Final = 0.1
REFUSALS: Final = (InputRefused, InputMissing, FolderUnusable, UsageError)
"""What is wrong with a part, or with how this machine sees it."""
log = get_logger()


class Order:
    """The order of who plans. ``check`` raises for an open input that does not belong here."""

    def __init__(
        self,
        loading: SharedLoading,
        loader: Loader,
        spool: Path,
        check: Callable[[Source], None],
        on_read: OnRead,
    ) -> None:
        self._loading = loading
        self._loader = loader
        self._spool = spool
        self._check = check
        self._progress = Progress(on_read)
        self._sizes: list[int] = []

    def load(self, files: Sequence[InputFile]) -> list[int]:
        """Load all parts, with any helpers; return the ids of the sources. See ``loading.load``."""
        self._loading.begin(_told(self._loader), [self._part(file) for file in files])
        try:
            self._load(files)
            return list(dict.fromkeys(self._loading.finish()))
        except BaseException:
            with suppress(LedgerFailed):  # the next who plans drops it
                self._loading.give_up()
            raise

    def _part(self, file: InputFile) -> ArrivingPart:
        """How others find a file, and the content that they must find there."""
        self._sizes.append(0)
        if file.url == file.path:  # nothing of it is secret
            return ArrivingPart(asdict(file), _version(file))
        if file.url or not Path(file.path).is_file():
            return ArrivingPart(None, "")
        with open_source(file, self._loader.reading, self._spool) as source:
            self._check(source)
            self._sizes[-1] = source.size_bytes
            return ArrivingPart(asdict(file), source.sha256)

    def _load(self, files: Sequence[InputFile]) -> None:
        """Load what nobody else loads, until all is in.

        Of several parts that are refused the first one is told: those after it need not be in.
        """
        refused: Stop | None = None
        until = len(files) + 1
        while {*range(1, until)} - self._loaded().keys():
            number = 0
            try:
                with self._loading.lease(until) as leased:
                    if leased is not None:
                        number = leased.number
                        self._load_part(leased, files[number - 1])
            except REFUSALS as found:
                refused, until = found, number
            if not number:  # others have them
                time.sleep(LOOK_S)
        if refused:
            raise refused

    def _loaded(self) -> dict[int, int]:
        loaded = self._loading.loaded()
        self._progress.set(sum(loaded.values()), sum(self._sizes[number - 1] for number in loaded))
        return loaded

    def _load_part(self, leased: LeasedPart, file: InputFile) -> None:
        with open_source(file, self._loader.reading, self._spool) as source:
            self._check(source)
            self._sizes[leased.number - 1] = source.size_bytes
            _load(self._loader, leased, source, self._progress.read)


def help_load(loading: SharedLoading, spool: Path) -> int:
    """Load parts of an order that another process plans, until all are in; return how many.

    Copies of remote inputs go to ``spool``. Raises ``Misconfigured`` (78) where the never-lists of
    the order are not as they were planned with.
    """
    order = loading.order()
    if order is None:
        return 0
    loader, number, left = _loader(order), 0, set[int]()
    while loading.order() == order:
        found = _load_next(loading, loader, spool, left)
        number += found is True
        if found is None and not loading.sort_out():
            time.sleep(LOOK_S)
    return number


def _load_next(loading: SharedLoading, loader: Loader, spool: Path, left: set[int]) -> bool | None:
    """Load a part; False if it is left to others from now on, None if there is none."""
    number = 0
    try:
        with loading.lease(but=left) as leased:
            if leased is None or leased.part.file is None:
                return None
            number = leased.number
            file = InputFile(**leased.part.file)
            with open_source(file, loader.reading, spool) as source:
                if is_own(source.header):
                    raise InputRefused("it is a file of results, which belongs to who plans")
                _load(loader, leased, source, lambda _rows, _bytes: None)
    except REFUSALS as why:
        left.add(number)
        log.info("part_left", part=number, why=str(why))
        return False
    return True


def _load(loader: Loader, leased: LeasedPart, source: Source, on_read: OnRead) -> None:
    """Load a part, if it has the content that was planned."""
    content = leased.part.content
    if content and content != (_version(source.file) if source.file.url else source.sha256):
        with source.naming():
            raise changed()
    loader.load(leased, source, on_read)


def _version(file: InputFile) -> str:
    return json.dumps(remote.version(file.url), sort_keys=True)


def _told(loader: Loader) -> dict[str, Any]:
    """What other loaders are told of an order; see ``_loader``."""
    return {
        "reading": asdict(loader.reading),
        "never": [str(path.absolute()) for path in loader.never.paths],
        "at_home": loader.at_home,
        "signature": loader.signature,
    }


def _loader(order: Any) -> Loader:
    columns = tuple((name, header) for name, header in order["reading"]["columns"])
    reading = ReadSettings(**{**order["reading"], "columns": columns})
    never = read_never([Path(path) for path in order["never"]])
    loader = Loader(reading, never, order["at_home"])
    if loader.signature != order["signature"]:
        raise Misconfigured(
            "the never-lists of this machine are not those that the job is planned with",
            "copy them here, then start again",
        )
    return loader
