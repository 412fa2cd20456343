"""Commands beside the work: a fake of the API for rehearsals, completion for a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from bulk_unenroll.cli.option_types import PATH
from bulk_unenroll.errors import PROGRAM, InputRefused, UsageError


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=8080,
    show_default=True,
    help="The port to listen on; 0 chooses a free one.",
)
@click.option("--scenario", type=PATH, help="A TOML file that says how the fake misbehaves.")
@click.option("--journal", type=PATH, help="Write every request into this file.")
def sandbox(port: int, scenario: Path | None, journal: Path | None) -> int:
    """Run a local fake of the API on 127.0.0.1, for rehearsals. Ctrl-C ends it.

    \b
    bulk-unenroll sandbox --port 8080 --scenario rough-night.toml
    """
    import asyncio

    from bulk_unenroll import sandbox as fake

    try:
        asyncio.run(fake.serve(port, scenario, journal, click.echo))
    except fake.ScenarioError as error:
        raise InputRefused(f"the scenario is not valid: {error}", "fix the scenario") from None
    except OSError as error:
        raise _no_sandbox(port, error) from None
    return 0


def _no_sandbox(port: int, error: OSError) -> UsageError:
    if error.filename:
        return UsageError(f"cannot open {error.filename}: {error.strerror}", "give another path")
    return UsageError(f"cannot listen on port {port}: {error.strerror}", "try --port 0")


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: Literal["bash", "zsh", "fish"]) -> int:
    """Print a script that completes commands in SHELL.

    \b
    bulk-unenroll completion bash >> ~/.bashrc
    bulk-unenroll completion zsh >> ~/.zshrc
    bulk-unenroll completion fish > ~/.config/fish/completions/bulk-unenroll.fish
    """
    from click.shell_completion import get_completion_class

    completing = get_completion_class(shell)
    commands = context.find_root().command
    click.echo(completing(commands, {}, PROGRAM, "_BULK_UNENROLL_COMPLETE").source())
    return 0
