"""The commands, gathered. Each imports what it needs only when it runs, so that all start fast."""

from __future__ import annotations

import click

from bulk_unenroll import __version__
from bulk_unenroll.cli.init import init
from bulk_unenroll.cli.job import job
from bulk_unenroll.cli.look_commands import (
    codes,
    explain,
    export,
    peek,
    report,
    status,
    stop,
    verify,
)
from bulk_unenroll.cli.move import move
from bulk_unenroll.cli.run_commands import plan, resume, retry, run, work
from bulk_unenroll.cli.serve import serve
from bulk_unenroll.cli.tool_commands import completion, sandbox


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__)
def cli() -> None:
    """Take many customers out of Loyalty+ milestones and streaks, one accountable call at a time.

    \b
    bulk-unenroll plan customers.csv                    see what a run would do
    bulk-unenroll run customers.csv --sandbox           rehearse it on this machine
    bulk-unenroll run customers.csv --base-url URL      do it
    bulk-unenroll resume customers.unenroll             continue after a stop
    bulk-unenroll retry customers.unenroll --code 310011
    bulk-unenroll serve                                 all of this as a page in a browser
    """


COMMANDS = (
    *(plan, run, resume, retry, work, move),
    *(peek, status, stop, export, report, explain, verify, codes),
    *(serve, sandbox, completion),
    *(init, job),
)
for command in COMMANDS:
    cli.add_command(command)
