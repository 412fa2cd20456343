"""The commands that a job starts: each is a process of its own, and knows no server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from bulk_unenroll.web import processes
from bulk_unenroll.web.config import Destination
from bulk_unenroll.web.gate import Person
from bulk_unenroll.web.jobs import MENDED, Facts, Job, current
from bulk_unenroll.web.order import words_of
from bulk_unenroll.web.site import Site, Trouble, address

TOLD: Final = ("--json", "--progress-file", "../now.json", "--log-format", "json")


def start_plan(job: Job, site: Site, person: Person) -> None:
    """Plan the file of a job, or the mended rows that were given to it."""
    facts = current(job.facts)
    destination = site.destination(facts["destination"])
    words = [*words_of(facts, destination), *TOLD, "--rate", facts["rate"]]
    words += ["--base-url", destination.base_url] if destination else []
    what = MENDED if facts.get("mended") else "plan"
    _start(job, destination, person, what, words)


def start_run(job: Job, site: Site, person: Person, plan: Facts) -> None:
    """Begin the run of a plan that was confirmed, with its alarms."""
    facts = current(job.facts)
    destination = site.destination(facts["destination"])
    words = [*words_of(facts, destination), *_sending(facts, destination), "--plan", plan["id"]]
    words += [word for alarm in plan["alarms"] for word in ("--allow", alarm["name"])]
    _start(job, destination, person, "run", words)


def go_on(job: Job, site: Site, person: Person, what: str, more: Sequence[str]) -> None:
    """Start a ``resume`` or ``retry`` of a job, with its own options."""
    facts = job.facts
    destination = site.destination(facts["destination"])
    words = ["../run", *_sending(facts, destination), *more]
    _start(job, destination, person, what, words)


def count_again(job: Job, site: Site, words: Sequence[str]) -> int:
    """How many customers a ``retry`` with these options would call.

    Raises ``Trouble`` (422) where that cannot be told.
    """
    destination = site.destination(job.facts["destination"])
    command = ["retry", "../run", "--dry-run", "--json", *_where(destination), *words]
    try:
        return int(json.loads(processes.ask(job, command, _credentials(destination)))["to_call"])
    except (ValueError, KeyError, subprocess.TimeoutExpired):
        why = "It cannot be counted what would be called again."
        raise Trouble(422, why, address(job)) from None


def _start(
    job: Job, destination: Destination | None, person: Person, what: str, words: Sequence[str]
) -> None:
    processes.start(job, what, words, person.name, _credentials(destination))


def _sending(facts: Facts, destination: Destination | None) -> list[str]:
    """The options of every command of a job that sends."""
    words = [*TOLD, "--yes", "--rate", facts["rate"], "--notify", "never", *_where(destination)]
    return [*words, "--stop-at", facts["stop_at"]] if facts.get("stop_at") else words


def _where(destination: Destination | None) -> list[str]:
    return ["--base-url", destination.base_url] if destination else ["--sandbox"]


def _credentials(destination: Destination | None) -> Mapping[str, str]:
    return destination.environment() if destination else {}
