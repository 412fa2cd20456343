"""How a command ends: its summary or JSON object, a notification, two lines on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import click

from bulk_unenroll.errors import PROGRAM, Next, OptionValue, Stop, option_words
from bulk_unenroll.exits import is_halt
from bulk_unenroll.urls import without_secrets

if TYPE_CHECKING:
    from bulk_unenroll.reports.summary import Summary

NOTIFY_URLS: Final = "BULK_UNENROLL_NOTIFY_URLS"
NOTIFYING: Final = ("run", "resume", "retry", "job")
"""Commands that a scheduler starts: of their early ends people are notified too."""


# ── a command that did what it could ─────────────────────────────────────────────────────────────


def finish(summary: Summary, *, json: bool, notify: str = "never", show: bool = True) -> int:
    """Print how a command ended, notify if asked to; its exit code."""
    code = summary.exit.code
    resumed = _is_job() and summary.next is not None and summary.next.command == "resume"
    if resumed:  # a job knows its credentials
        advice = summary.next.advice if summary.next else ""
        summary = replace(summary, next=same_command().after(advice))
    if json:
        print_json(summary.as_json())
    elif show:
        from bulk_unenroll.cli import screens

        screens.show_summary(screens.out(), summary)
    _notify(code, summary, notify)
    if code:
        _print_two_lines(code, summary.exit.reason, summary.next)
    return code


def print_abandoned(summary: Summary, *, json: bool) -> None:
    """Print how a run ended whose process is about to be gone, past all buffers."""
    if json:
        print_json(summary.as_json())
    _print_two_lines(summary.exit.code, summary.exit.reason, summary.next)
    sys.stdout.flush()
    sys.stderr.flush()


# ── a command that could not go on ───────────────────────────────────────────────────────────────


def end_early(stop: Stop, commands: Container[str]) -> int:
    """Print why a command could not go on, as an object if asked to, and what to type next."""
    then = next_after(stop, commands)
    if "--json" in sys.argv[1:]:
        ended = {"code": stop.code, "reason": str(stop)}
        print_json({"folder": None, "run_id": None, "exit": ended, "next": str(then)})
    if sys.argv[1:2] and sys.argv[1] in NOTIFYING and not sys.stderr.isatty():
        _notify(stop.code, None, "halt")
    _print_two_lines(stop.code, str(stop), then)
    return stop.code


# ── the next command ─────────────────────────────────────────────────────────────────────────────


def next_after(stop: Stop, commands: Container[str]) -> Next:
    """The next command: what the stop names, or the same again with what it lacked.

    Never what must fail in the same way; then it is the page that lists the options.
    """
    if stop.next:
        return stop.next
    if stop.instead:
        return same_command(instead=stop.instead)
    if stop.lacking and all(map(_takes, stop.lacking)):
        return same_command(stop.lacking)
    return same_command() if stop.repeatable else help_command(commands)


def same_command(
    more: Mapping[str, OptionValue] = MappingProxyType({}), *, instead: str | None = None
) -> Next:
    """The same command line again, with ``more`` options in place of those of the same names.

    ``instead``: another command for the same inputs, with the options that it has, too.
    """
    words = [without_secrets(word) for word in sys.argv[1:] if word != "--json"]
    if not words:
        return Next("")
    command = words[0]
    if instead and command == "job":
        return Next("job", ("check", *words[2:3]))
    if instead or more:
        words[1:] = _without(words[1:], more, instead or command)
    return Next(instead or command, (*_with(words[1:], option_words(more)),))


def _with(words: list[str], added: Iterable[str]) -> list[str]:
    """``words`` and more options, which come before a ``--``."""
    end = words.index("--") if "--" in words else len(words)
    return [*words[:end], *added, *words[end:]]


def _without(words: list[str], replaced: Container[str], command: str) -> list[str]:
    """``words`` without options that ``command`` does not have, and those that are ``replaced``."""
    from bulk_unenroll.cli.option_types import FLAG
    from bulk_unenroll.cli.options import OPTIONS

    kept: list[str] = []
    options = {flag: option for option in OPTIONS for flag in option.typed}
    rest = iter(words)
    for word in rest:
        if word == "--":
            return [*kept, word, *rest]
        flag, equals, _ = word.partition("=")
        option = options.get(flag)
        value = [] if option is None or equals or option.type is FLAG else list(islice(rest, 1))
        single = option is not None and not option.multiple
        if single and flag.removeprefix("--") in replaced:
            continue
        if option is None or command == "job" or command in option.commands:
            kept += [word, *value]
    return kept


def _takes(name: str) -> bool:
    """Whether the command that was typed has an option of this name."""
    from bulk_unenroll.cli.options import OPTIONS

    command = sys.argv[1:2]
    found = [option for option in OPTIONS if f"--{name}" in option.typed]
    return command == ["job"] or any(command[0] in option.commands for option in found)


def help_command(commands: Container[str]) -> Next:
    """The command line that shows the help of the command that was typed."""
    name = next((word for word in sys.argv[1:] if word in commands), None)
    return Next(name or "", options={"help": True})


def _is_job() -> bool:
    return sys.argv[1:2] == ["job"]


# ── printing ─────────────────────────────────────────────────────────────────────────────────────


def print_json(value: Any) -> None:
    """Print a value as one line of JSON on standard output."""
    import json

    click.echo(json.dumps(value, ensure_ascii=False))


def _print_two_lines(code: int, reason: str, then: Next | None) -> None:
    what = f"{reason}; {then.advice}" if then and then.advice else reason
    click.echo(f"{PROGRAM}: {_one_line(what)} (exit {code})", err=True)
    click.echo(f"next: {_one_line(str(then or ''))}", err=True)


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


# ── notifications ────────────────────────────────────────────────────────────────────────────────


def _notify(code: int, summary: Summary | None, when: str) -> None:
    """Send a notification, if there are addresses for one and ``when`` asks for it."""
    urls = _notify_urls()
    if not urls or when == "never":
        return
    try:
        from bulk_unenroll.reports import notify
    except ImportError:
        extra = "pip install 'bulk-unenroll[notify]'"
        click.echo(f"notification not sent: it needs an extra, {extra}", err=True)
        return
    if when == "end" or is_halt(code):
        notify.notify(urls, code, summary)


def _notify_urls() -> str:
    file = os.environ.get(f"{NOTIFY_URLS}_FILE")
    with suppress(OSError, UnicodeDecodeError):
        return Path(file).read_text("utf-8") if file else os.environ.get(NOTIFY_URLS, "")
    return ""
