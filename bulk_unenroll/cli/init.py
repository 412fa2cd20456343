"""``bulk-unenroll init``: a job file to begin with, by looking at the input and asking."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bulk_unenroll.cli.options import COLUMN, ID
from bulk_unenroll.errors import FolderUnusable, UsageError
from bulk_unenroll.urls import is_remote, without_secrets

if TYPE_CHECKING:
    from bulk_unenroll.inputs.mapping import ReadSettings


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--input", "input_", type=click.Path(), metavar="INPUT", help="What the job reads.")
@click.option("--sheet", metavar="NAME", help="Of a workbook with several, the one to read.")
@click.option("--column", "columns", multiple=True, type=COLUMN, help="Map an id to a header.")
@click.option("--target-group-id", type=ID, help="The group, for files without it.")
@click.option("--target-id", type=ID, help="The target rule, for files without it.")
@click.option("--base-url", metavar="URL", help="Prefix included. Without it: a rehearsal.")
def init(
    file: Path,
    input_: str | None,
    sheet: str | None,
    columns: Sequence[tuple[str, str]],
    target_group_id: int | None,
    target_id: int | None,
    base_url: str | None,
) -> int:
    """Write a commented job file to begin with.

    Looks at the input's header for the columns that hold ids. On a terminal it asks for what it
    does not find and was not told.

    \b
    bulk-unenroll init jobs/cleanup.toml
    bulk-unenroll init jobs/cleanup.toml --input drop/cleanup.csv --base-url https://HOST/v3.1
    """
    from bulk_unenroll.capillary.base_url import parse_base_url
    from bulk_unenroll.cli.job_template import Start, job_text
    from bulk_unenroll.inputs.mapping import ReadSettings

    if file.exists():
        raise UsageError(f"{file} is there already: nothing was written", "give another name")
    asked = sys.stdin.isatty() and not input_
    name = input_ or _ask_input()
    given = ReadSettings(sheet=sheet, columns=columns, group=target_group_id, target=target_id)
    header, reading = _look(name, given)
    if asked and not base_url:
        question = "Base URL, prefix included; nothing for a rehearsal"
        base_url = click.prompt(question, err=True, default="", show_default=False)
    start = Start(
        name=str(file),
        files=_seen_from(file, name),
        folder=f"{file.stem}{'' if base_url else '-rehearsal'}.unenroll",
        header=header,
        reading=reading,
        base_url=parse_base_url(base_url) if base_url else None,
    )
    _write(file, job_text(start))
    click.echo(f"wrote {file}; next: bulk-unenroll job check {file}")
    return 0


def _ask_input() -> str:
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask on: nothing was written", "give --input INPUT")
    name: str = click.prompt("Which file shall be read", err=True)
    return name


def _look(name: str, reading: ReadSettings) -> tuple[tuple[str, ...], ReadSettings]:
    """The header of an input, and how to read it; raises ``Stop`` where it cannot be read."""
    import tempfile

    from bulk_unenroll.cli.job_file import dated
    from bulk_unenroll.inputs.finding import STDIN, find_inputs
    from bulk_unenroll.inputs.source import open_source, read_header

    if name == STDIN:
        raise UsageError("standard input has gone when the job runs", "give the path of a file")
    first = find_inputs([dated(name, datetime.now().astimezone().date())])[0]
    with tempfile.TemporaryDirectory() as spool:
        if sys.stdin.isatty():
            reading = _completed(read_header(first, reading, Path(spool)), reading)
        with open_source(first, reading, Path(spool)) as source:
            return source.header, reading


def _completed(header: tuple[str, ...], reading: ReadSettings) -> ReadSettings:
    """``reading`` with what a person says of the ids that no header names."""
    from bulk_unenroll.inputs.mapping import name_of

    known = {*map(name_of, header), *reading.constants(), *(name for name, _ in reading.columns)}
    for name in ("customerId", "targetGroupId", "targetId"):
        if name not in known:
            reading = _with(reading, name, _ask_column(header, name))
    return reading


def _with(reading: ReadSettings, name: str, answer: str | int) -> ReadSettings:
    if isinstance(answer, str):
        return replace(reading, columns=(*reading.columns, (name, answer)))
    if name == "targetGroupId":
        return replace(reading, group=answer)
    return replace(reading, target=answer)


def _ask_column(header: tuple[str, ...], name: str) -> str | int:
    """The header, or of a target the one id of all rows."""
    from bulk_unenroll.inputs.ids import parse_id
    from bulk_unenroll.inputs.mapping import is_added, name_of

    free = [text for text in header if text and name_of(text) is None and not is_added(text)]
    one_id = name != "customerId"

    def read(text: str) -> str | int:
        parsed = parse_id(text) if one_id else None
        if text in free:
            return text
        if isinstance(parsed, int):
            return parsed
        raise click.BadParameter(f"{text!r} is none of these")

    more = "; or one id for all rows" if one_id else ""
    question = f"Which column holds {name} ({', '.join(free)}{more})"
    answer: str | int = click.prompt(question, err=True, value_proc=read)
    return answer


def _seen_from(file: Path, name: str) -> str:
    """``name`` as the job file's folder sees it."""
    return without_secrets(name) if is_remote(name) else os.path.relpath(name, file.parent)


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise FolderUnusable(f"cannot write {file}: {error.strerror}", "give another") from None
