"""How a command ends: its summary or JSON object, a notification, two lines on standard error."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Container, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import click

from bulk_unenroll.errors import (
    PROGRAM,
    Interrupted,
    Next,
    OptionValue,
    Stop,
    UsageError,
    option_words,
)
from bulk_unenroll.exits import Exit, is_halt
from bulk_unenroll.urls import is_text, without_secrets

if TYPE_CHECKING:
    from bulk_unenroll.reports.summary import Summary

NOTIFY_URLS: Final = "BULK_UNENROLL_NOTIFY_URLS"
WORKING: Final = ("plan", "run", "resume", "retry", "work", "job")
"""Commands that a scheduler starts: however they end, somebody wants to know."""


@dataclass(slots=True)
class Doing:
    """What this process is doing: the options of its command, as far as they were understood.

    ``interrupted`` is what a signal raised, before a run takes signals over.
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    began_s: float = field(default_factory=time.monotonic)
    interrupted: Interrupted | None = None

    def check_interrupted(self) -> None:
        """Raise what a signal raised, if a library has swallowed it."""
        if self.interrupted:
            raise self.interrupted

    @property
    def folder(self) -> str:
        """The run folder, if the options say it."""
        from bulk_unenroll.inputs.finding import default_folder

        named = self.given.get("folder") or self.given.get("out")
        with suppress(Stop, OSError):
            if named is None and self.given.get("inputs"):
                named = default_folder(self.given["inputs"])
        return "" if named is None else str(named)

    @property
    def job(self) -> str | None:
        """The job file, if one is run."""
        return sys.argv[3] if sys.argv[1:3] == ["job", "run"] and len(sys.argv) > 3 else None


doing = Doing()


def begin(given: Mapping[str, Any]) -> None:
    """From now on this process does, and logs, what the options ``given`` say."""
    from bulk_unenroll.cli.log_options import set_up_log

    doing.given, doing.began_s = given, time.monotonic()
    set_up_log(given)


def forget() -> None:
    """This process begins a command."""
    doing.given, doing.began_s, doing.interrupted = {}, time.monotonic(), None


# ── a command that did what it could ─────────────────────────────────────────────────────────────


def finish(summary: Summary, *, json: bool, notify: str = "never", show: bool = True) -> int:
    """Print how a command ended, log and notify it, and return its exit code."""
    code = summary.exit.code
    resumed = _is_job() and summary.next is not None and summary.next.command == "resume"
    if resumed:  # a job knows its credentials
        advice = summary.next.advice if summary.next else ""
        summary = replace(summary, next=same_command().after(advice))
    if json:
        print_json(_as_json(summary))
    elif show:
        from bulk_unenroll.cli import screens

        screens.show_summary(screens.out(), summary)
    _tell(summary, notify)
    if code:
        _print_two_lines(code, summary.exit.reason, summary.next)
    return code


def print_abandoned(summary: Summary, *, json: bool) -> None:
    """Print how a run ended whose process is about to be gone, past all buffers."""
    if json:
        print_json(_as_json(summary))
    _log_end(summary)
    _print_two_lines(summary.exit.code, summary.exit.reason, summary.next)
    sys.stdout.flush()
    sys.stderr.flush()


# ── a command that could not go on ───────────────────────────────────────────────────────────────


def end_early(stop: Stop, commands: Container[str]) -> int:
    """Print why a command could not go on and what to type next; return its exit code."""
    from bulk_unenroll.reports.summary import Summary

    seconds = time.monotonic() - doing.began_s
    ended = Exit(stop.code, str(stop))
    summary = Summary(doing.folder, ended, next_after(stop, commands), seconds=seconds)
    if doing.given.get("json") or "--json" in sys.argv[1:]:
        print_json(_as_json(summary))
    if sys.argv[1:2] and sys.argv[1] in WORKING and sys.argv[1:3] != ["job", "check"]:
        write_metrics(doing.given.get("metrics_file"), summary)
        _tell(summary, doing.given.get("notify") or "halt")
    _print_two_lines(stop.code, str(stop), summary.next)
    return stop.code


def write_metrics(path: Path | None, summary: Summary) -> None:
    """Write how a command ended that made no call into its file for Prometheus."""
    if path is None:
        return
    with suppress(ImportError, OSError):  # then this is why it ends, or no reason not to end
        from bulk_unenroll.reports.metrics import write_end

        write_end(path, Path(summary.folder).name, summary.exit.code)


# ── telling ──────────────────────────────────────────────────────────────────────────────────────


def _tell(summary: Summary, notify: str) -> None:
    """Notify people, and log the end as an event."""
    _notify(summary, notify)
    _log_end(summary)


def _log_end(summary: Summary) -> None:
    from bulk_unenroll.log import is_watched  # structlog is slow to import

    log = _log()
    counts = summary.counts
    states = {s.value: n for s, n in counts.states.items() if n} if counts else {}
    rows = {"rows": counts.read, "invalid": counts.invalid} if counts else {}
    say = log.warning if summary.exit.code else log.info
    if is_watched():  # the last two lines say it already
        say = log.debug
    say(
        "run_ended",
        exit=summary.exit.code,
        reason=summary.exit.reason,
        folder=summary.folder or None,
        seconds=round(summary.seconds, 3),
        job=doing.job,
        host=socket.gethostname(),
        **rows,
        **states,
    )


def _log() -> Any:
    """The log; if the command ended before it was set up, as far as its options are known."""
    from bulk_unenroll.cli.log_options import set_up_log
    from bulk_unenroll.log import get_logger, is_set_up

    if not is_set_up():
        try:
            set_up_log(doing.given)
        except UsageError:  # the log cannot be written, which is why it ends
            set_up_log({**doing.given, "log_file": None})
    return get_logger()


def _as_json(summary: Summary) -> dict[str, Any]:
    return {**summary.as_json(), "job": doing.job, "host": socket.gethostname()}


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


def _notify(summary: Summary, when: str) -> None:
    """Send a notification, if there are addresses for one and ``when`` asks for it."""
    code = summary.exit.code
    urls = notify_urls()
    if not is_text(urls):
        _log().warning("not_notified", why=f"{NOTIFY_URLS} is not UTF-8")
        return
    if not urls or when == "never" or not (when == "end" or is_halt(code)):
        return
    try:
        from bulk_unenroll.reports import notify
    except ImportError:
        _log().warning("not_notified", why="it needs an extra: pip install 'bulk-unenroll[notify]'")
        return
    notify.notify(urls, summary, job=doing.job, host=socket.gethostname())


def notify_urls() -> str:
    """The apprise URLs of the environment, separated by spaces; empty where there are none."""
    file = os.environ.get(f"{NOTIFY_URLS}_FILE")
    with suppress(OSError):
        if file:
            return Path(file).read_text("utf-8", "surrogateescape").removeprefix("\ufeff")
    return os.environ.get(NOTIFY_URLS, "")
