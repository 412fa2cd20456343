"""A job file to begin with: the keys that matter on the first day, and why. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from string import Template
from typing import Final

from bulk_unenroll.inputs.mapping import ReadSettings

_TEMPLATE: Final = Template("""\
# A job of bulk-unenroll: what a command line says, kept under version control.
#
#   bulk-unenroll job check $name    says all that is wrong, and sends nothing
#   bulk-unenroll job run $name      does it; options added there win over this file
#   bulk-unenroll job schema         every key, for editors
#
# Paths are relative to this file; {date} in one is today: drop/{date}.csv, {date:%Y%m%d}.

[input]
files = $files
$input
[api]
$api
# The variables that hold the credentials, by name; secrets are never written here.
# Without these: BULK_UNENROLL_CLIENT_KEY and _CLIENT_SECRET, or _USERNAME and _PASSWORD.
# client_key_env = "LOYALTY_KEY"
# client_secret_env = "LOYALTY_SECRET"
# data_scope_org = 100012             # act on this connected org

[pace]
rate = "100/min"                      # what your cluster allows is by contract
# mode = "adaptive"                   # slower while the API struggles, never above the rate

[limits]
max_invalid = "10%"                   # more invalid rows than that refuse the file
canary = 10                           # so many rows go first; if none ends well, stop
max_failures = "50%"                  # stop above that
# expect = 1000                       # refuse unless exactly so many would be called

[schedule]
# unattended = true                   # ask no question: for schedulers
# stop_at = "05:00"                   # local time; the next run goes on
# stop_after = "2h"

[output]
folder = $folder$another
# log_file = "unenroll.log"
# metrics_file = "/var/lib/node_exporter/unenroll.prom"

[notify]
when = "end"                          # or "halt": only what a person must look at
# urls_env = "OPERATIONS_URLS"        # the variable that holds apprise URLs
""")
_REHEARSAL: Final = """\
# A rehearsal: nothing leaves this machine. For the real API take this line out and give base_url.
sandbox = true
# base_url = "https://HOST/v3.1"      # prefix included"""


@dataclass(frozen=True, slots=True)
class Start:
    """What is known of a job: its file's name, paths as the file shall name them, the input's
    columns. Without ``base_url`` it is a rehearsal.
    """

    name: str
    files: str
    folder: str
    header: tuple[str, ...]
    reading: ReadSettings
    base_url: str | None


def job_text(start: Start) -> str:
    """The job file, as TOML."""
    return _TEMPLATE.substitute(
        name=_one_line(start.name),
        files=_quoted(start.files),
        input="".join(f"{line}\n" for line in _input_lines(start)),
        api=f"base_url = {_quoted(start.base_url)}" if start.base_url else _REHEARSAL,
        folder=_quoted(start.folder),
        another="" if start.base_url else "  # the real API needs another one",
    )


def _input_lines(start: Start) -> Iterator[str]:
    yield f"# its columns: {_one_line(', '.join(start.header))}"
    reading = start.reading
    if reading.sheet is not None:
        yield f"sheet = {_quoted(reading.sheet)}"
    if reading.columns:
        pairs = (f"{name} = {_quoted(header)}" for name, header in reading.columns)
        yield f"columns = {{ {', '.join(pairs)} }}"
    if reading.group is not None:
        yield f"target_group_id = {reading.group}"
    if reading.target is not None:
        yield f"target_id = {reading.target}"


def _quoted(text: str) -> str:
    """A TOML string: as JSON has it, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
