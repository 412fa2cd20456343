"""The command that moves a job from its run folder to PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import click

from bulk_unenroll.cli.option_types import PATH


@click.command()
@click.argument("folder", type=PATH)
@click.option(
    "--to",
    metavar="URL",
    help="The PostgreSQL server: postgresql://USER@HOST/DATABASE, without a password."
    " [env: BULK_UNENROLL_LEDGER_URL]",
)
@click.option("--job", required=True, metavar="NAME", help="The name of the job in that ledger.")
def move(folder: Path, to: str | None, job: str) -> int:
    """Let the job of a run folder go on in PostgreSQL, for good: other machines can join it then.

    All that is on record goes with it. The folder then stands for the job, as if it had begun
    there. Killed on its way, the job is still in one of the two, whole: type it again.

    \b
    bulk-unenroll move customers.unenroll --to postgresql://unenroll@db/unenroll --job customers
    """
    from bulk_unenroll.commands.move import move as move_folder

    click.echo(f"{folder} → {move_folder(folder, job, to=to)}")
    return 0
