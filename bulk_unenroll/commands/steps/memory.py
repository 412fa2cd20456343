"""What a run folder remembers of its last run: the settings.

``resume`` and ``retry`` go on with them; an option that is given wins, and is remembered in its
turn. One of them is ``sandbox``, which never changes: a folder is a rehearsal or real for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bulk_unenroll.commands.options import Settings, keyword_of, settings_from
from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.reports.rehearsal import kind_of
from bulk_unenroll.settings import kept_names, more_careful


def kept_of(settings: Settings) -> dict[str, Any]:
    """What a folder shall remember of ``settings``, by keyword: values that JSON has."""
    values = ((name, _value(settings, name)) for name in kept_names())
    return {keyword_of(name): plain(value) for name, value in values if value not in (None, ())}


def kept_in(reader: LedgerReader, settings: Settings) -> dict[str, Any]:
    """What a folder that goes on shall remember of ``settings``.

    One of an older version may not know whether it is a rehearsal: the next ``run`` tells.
    """
    kept = kept_of(settings)
    if kind_of(reader) is None and not settings.run.sandbox:
        del kept["sandbox"]
    return kept


def _value(settings: Settings, name: str) -> Any:
    part = settings.send if hasattr(settings.send, name) else settings.run
    return getattr(part, name)


def plain(value: Any) -> Any:
    """A value as JSON has it; its option can parse it again."""
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if isinstance(value, Path):  # the next command may be typed in another folder
        return str(value.absolute())
    return value if isinstance(value, bool | int | float) else str(value)


def as_last_time(settings: Settings, reader: LedgerReader) -> Settings:
    """``settings`` for a ``resume``: what was not given is what the folder remembers."""
    return settings.with_remembered(_remembered(reader))


def as_careful_as_last_time(settings: Settings, reader: LedgerReader) -> Settings:
    """``settings`` for a ``run``: what was not given is a default, unless the folder was careful.

    What somebody once loosened for one input does not hold for the next one.
    """
    return settings.with_remembered(more_careful(_remembered(reader)))


def _remembered(reader: LedgerReader) -> Mapping[str, Any]:
    """Values by field. A newer version may have kept more than this one knows."""
    known = set(map(keyword_of, kept_names()))
    kept = {name: value for name, value in reader.settings().items() if name in known}
    return settings_from(kept).given
