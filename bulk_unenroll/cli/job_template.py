"""A job file to begin with: the keys that matter on the first day, and why. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Template
from typing import Final

from bulk_unenroll.cli.options import OPTIONS, Option
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.option_values import TargetCap, Window
from bulk_unenroll.settings import RUN_MAX_INVALID

_TEMPLATE: Final = Template("""\
# A job of bulk-unenroll: what a command line says, kept under version control.
#
#   bulk-unenroll job check $name    lists all that is wrong, and sends nothing
#   bulk-unenroll job run $name      runs it; options added there win over this file
#   bulk-unenroll job schema         every key, for editors
#
# Paths are relative to this file; {date} in one is today: drop/{date}.csv, {date:%Y%m%d}.

[input]
files = $files
$input
[api]
$api
# Credentials are never written here. Name the variables that hold them, or leave these out for
# BULK_UNENROLL_CLIENT_KEY and _CLIENT_SECRET, or BULK_UNENROLL_USERNAME and _PASSWORD.
# client_key_env = "LOYALTY_KEY"
# client_secret_env = "LOYALTY_SECRET"
$data_scope_org

[pace]
# The rate that your cluster allows is by contract.
$rate
$pace

[limits]
$max_invalid
$canary
$max_failures
$max_not_enrolled
# More than this is no usual day, and sends nothing.$caps
$never
$expect

[schedule]
$yes
$stop_at
$window
$stop_after_s

[output]
folder = $folder$another
$log_file
$metrics_file
$progress_file

[notify]
$notify
# urls_env = "OPERATIONS_URLS"        # Variable that holds apprise URLs.
""")
_EXAMPLES: Final[Mapping[str, object]] = {
    "data_scope_org": 100012,
    "pace": "adaptive",
    "expect": 1000,
    "yes": True,
    "stop_at": "05:00",
    "window": "22:00-05:00",
    "stop_after_s": "2h",
    "log_file": "unenroll.log",
    "metrics_file": "/var/lib/node_exporter/unenroll.prom",
    "progress_file": "unenroll.progress.json",
    "max_customers": 10_000,
    "max_target": ["1001/2001=5000"],
    "never": ["never.csv"],
}
"""Values of options that a job may well have, but does not begin with."""
_COMMENTS_AT: Final = 38
_CAPPED_TARGETS: Final = 20
_REHEARSAL: Final = """\
# A rehearsal: nothing leaves this machine. For the real API take this line out and give base_url.
sandbox = true
# base_url = "https://HOST/v3.1"      # prefix included"""


@dataclass(frozen=True, slots=True)
class Start:
    """What is known of a job: its file's name, paths as the file shall name them, the input's
    columns. Without ``base_url`` it is a rehearsal. ``max_customers`` and ``max_target`` are caps,
    None and empty where there are none to propose.
    """

    name: str
    files: str
    folder: str
    header: tuple[str, ...]
    read_settings: ReadSettings
    base_url: str | None
    max_customers: int | None = None
    max_target: Sequence[TargetCap] = ()
    never: Sequence[str] = ()
    window: Window | None = None


def job_text(start: Start) -> str:
    """The job file, as TOML."""
    known: dict[str, object] = {
        "max_customers": start.max_customers,
        "max_target": list(map(str, start.max_target))[:_CAPPED_TARGETS],
        "never": list(start.never),
        "window": start.window and str(start.window),
    }
    lines = {option.name: _option_line(option, known.get(option.name)) for option in OPTIONS}
    own = {
        "name": _one_line(start.name),
        "files": _quoted(start.files),
        "input": "".join(f"{line}\n" for line in _input_lines(start)),
        "api": f"base_url = {_quoted(start.base_url)}" if start.base_url else _REHEARSAL,
        "caps": "".join(f"\n{lines[name]}" for name in ("max_customers", "max_target")),
        "folder": _quoted(start.folder),
        "another": "" if start.base_url else "  # the real API needs another one",
    }
    return _TEMPLATE.substitute(lines | own)


def _option_line(option: Option, known: object) -> str:
    """A key with what is known, its default, or an example that is commented out; and its help."""
    _, key = option.place_in_job
    default = RUN_MAX_INVALID if key == "max_invalid" else option.default
    value = known or _EXAMPLES.get(option.name, default)
    mark = "# " if option.name in _EXAMPLES and not known else ""
    about = option.job_help or option.help
    return f"{mark}{key} = {_toml(value)}".ljust(_COMMENTS_AT - 2) + f"  # {about}"


def _input_lines(start: Start) -> Iterator[str]:
    yield f"# its columns: {_one_line(', '.join(start.header))}"
    settings = start.read_settings
    if settings.sheet is not None:
        yield f"sheet = {_quoted(settings.sheet)}"
    if settings.header_row is not None:
        yield f"header_row = {settings.header_row}"
    if settings.columns:
        pairs = (f"{name} = {_quoted(header)}" for name, header in settings.columns)
        yield f"columns = {{ {', '.join(pairs)} }}"
    if settings.target_group_id is not None:
        yield f"target_group_id = {settings.target_group_id}"
    if settings.target_id is not None:
        yield f"target_id = {settings.target_id}"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return str(value) if isinstance(value, int) else _quoted(str(value))


def _quoted(text: str) -> str:
    """A TOML string: as JSON has it, but for one character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
