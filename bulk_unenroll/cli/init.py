"""``bulk-unenroll init``: a job file to begin with, by looking at the input and asking."""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bulk_unenroll.cli.option_types import PATH
from bulk_unenroll.cli.options import options_of
from bulk_unenroll.errors import FolderUnusable, Next, UsageError
from bulk_unenroll.option_values import TargetCap, Window
from bulk_unenroll.urls import is_remote, without_secrets

if TYPE_CHECKING:
    from bulk_unenroll.inputs.mapping import ReadSettings
    from bulk_unenroll.reports.plan import Plan

CAP: Final = 2
"""A job is capped at so many times what its input holds today."""
NEVER: Final = "A file of customers who must never be called, or nothing"


@click.command()
@click.argument("file", type=PATH, metavar="FILE")
@click.option("--input", "input_", type=click.Path(), metavar="INPUT", help="What the job reads.")
@options_of("init")
@click.option(
    "--base-url", metavar="URL", help="The API, prefix included. Without it: a rehearsal."
)
def init(file: Path, input_: str | None, base_url: str | None, **given: Any) -> int:
    """Write a commented job file to begin with.

    Looks at the input's header for the columns that hold ids. On a terminal it asks for what
    neither the header nor an option gives.

    \b
    bulk-unenroll init jobs/cleanup.toml
    bulk-unenroll init jobs/cleanup.toml --input drop/cleanup.csv --base-url https://HOST/v3.1
    """
    from bulk_unenroll.capillary.base_url import parse_base_url
    from bulk_unenroll.cli.job_template import Start, job_text
    from bulk_unenroll.commands.options import settings_among

    if file.exists():
        raise UsageError(f"{file} already exists: nothing was written", "give another name")
    settings = settings_among(given)
    asks = sys.stdin.isatty() and not input_
    name = input_ or _ask_input()
    header, read_settings = _look(name, settings.read)
    found = _planned(name, read_settings)
    never, window = settings.run.never, settings.run.window
    if asks:
        base_url = base_url or _ask("Base URL with its prefix, or nothing for a rehearsal")
        never = never or tuple(map(Path, filter(None, [_ask(NEVER)])))
        window = window or _ask_window()
    start = Start(
        name=str(file),
        files=_seen_from(file, name),
        folder=f"{file.stem}{'' if base_url else '-rehearsal'}.unenroll",
        header=header,
        read_settings=read_settings,
        base_url=parse_base_url(base_url) if base_url else None,
        max_customers=CAP * found.to_call,
        max_target=_caps(found),
        never=[_seen_from(file, str(path)) for path in never],
        window=window,
    )
    _write(file, job_text(start))
    click.echo(f"wrote {file}; next: {Next('job', ('check', str(file)))}")
    return 0


def _planned(name: str, settings: ReadSettings) -> Plan:
    """What the input of today would do, planned in a folder that is then thrown away."""
    from bulk_unenroll.commands.plan import plan

    reading = {f.name: value for f in fields(settings) if (value := getattr(settings, f.name))}
    with tempfile.TemporaryDirectory() as apart:
        return plan(_of_today(name), out=Path(apart) / "init.unenroll", history="off", **reading)


def _caps(found: Plan) -> list[TargetCap]:
    """Twice what each target has today."""
    customers: Counter[str] = Counter()
    for fact in found.targets:
        customers[str(fact.target)] += fact.unique
    return [TargetCap(target, CAP * number) for target, number in customers.items()]


def _ask(question: str) -> str:
    """What a person types, or nothing."""
    answer: str = click.prompt(question, err=True, default="", show_default=False)
    return answer.strip()


def _ask_window() -> Window | None:
    from bulk_unenroll.option_values import parse_window

    question = "Send only in a time of day, such as 22:00-05:00, or nothing for always"

    def read(text: str) -> Window | None:
        try:
            return parse_window(text) if text.strip() else None
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    window: Window | None = click.prompt(
        question, err=True, default="", show_default=False, value_proc=read
    )
    return window


def _ask_input() -> str:
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot ask for the input: standard input is not a terminal. Nothing was written",
            "give --input INPUT",
        )
    name: str = click.prompt("Which file should the job read", err=True)
    return name


def _look(name: str, settings: ReadSettings) -> tuple[tuple[str, ...], ReadSettings]:
    """The header of an input, and how to read it; raises ``Stop`` where it cannot be read."""
    from bulk_unenroll.inputs.finding import STDIN, find_inputs
    from bulk_unenroll.inputs.source import open_source, read_header

    if name == STDIN:
        raise UsageError(
            "a job runs later, and cannot read this standard input", "give the path of a file"
        )
    first = find_inputs([_of_today(name)])[0]
    with tempfile.TemporaryDirectory() as spool:
        if sys.stdin.isatty():
            settings = _completed(read_header(first, settings, Path(spool)), settings)
        with open_source(first, settings, Path(spool)) as source:
            return source.header, settings


def _of_today(name: str) -> str:
    from bulk_unenroll.cli.job_file import dated

    return dated(name, datetime.now().astimezone().date())


def _completed(header: tuple[str, ...], settings: ReadSettings) -> ReadSettings:
    """``settings`` with what a person answers for the ids that no header names."""
    from bulk_unenroll.inputs.mapping import REQUIRED, name_of

    known = {*map(name_of, header), *settings.constants(), *dict(settings.columns)}
    for name in REQUIRED:
        if name not in known:
            settings = _with(settings, name, _ask_column(header, name))
    return settings


def _with(settings: ReadSettings, name: str, answer: str | int) -> ReadSettings:
    if isinstance(answer, str):
        return replace(settings, columns=(*settings.columns, (name, answer)))
    if name == "targetGroupId":
        return replace(settings, target_group_id=answer)
    return replace(settings, target_id=answer)


def _ask_column(header: tuple[str, ...], name: str) -> str | int:
    """The header of a column; or of a group or target, one id for all rows."""
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
        raise click.BadParameter(f"{text!r} is not one of these")

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
