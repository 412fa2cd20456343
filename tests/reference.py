"""What is written from the commands: ``python -m tests.reference`` writes it again.

That is ``docs/reference.md``, and what ``bulk-unenroll --help`` prints without importing click.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from bulk_unenroll.cli import help_text
from bulk_unenroll.cli.app import cli
from bulk_unenroll.cli.job_keys import OPTION_AT, SECTIONS, schema
from bulk_unenroll.cli.option_types import Parsed
from bulk_unenroll.errors import PROGRAM
from tests.kit.command import REPO

BAR = r"\|"
PAGE = REPO / "docs" / "reference.md"
OPENING = 'USAGE: Final = """\\\n'
HEAD = """\
# Reference

Every command and every key of a job file, written by `python -m tests.reference` from the program.
The README says what to use when.
"""


def commands(group: click.Group = cli, path: str = PROGRAM) -> Iterator[tuple[str, click.Command]]:
    """Every command with the words that call it, groups before their own."""
    for name, command in group.commands.items():
        words = f"{path} {name}"
        yield words, command
        if isinstance(command, click.Group):
            yield from commands(command, words)


def paragraphs(command: click.Command) -> list[str]:
    return inspect.cleandoc(command.help or "").split("\n\n")


def examples(command: click.Command) -> list[str]:
    """The command lines of its help, each on one line."""
    blocks = [text for text in paragraphs(command) if text.startswith("\b")]
    joined = "\n".join(blocks).replace("\\\n", "")
    return [line for line in joined.splitlines() if line.startswith(PROGRAM)]


def text() -> str:
    """The whole page."""
    lines = [HEAD]
    for words, command in commands():
        lines += _command(words, command)
    lines += _job_keys()
    return "\n".join(lines).rstrip() + "\n"


def _command(words: str, command: click.Command) -> Iterator[str]:
    taken = [p.make_metavar(click.Context(command)) for p in command.params if _is_argument(p)]
    yield f"## `{' '.join([words, *taken])}`\n"
    for paragraph in paragraphs(command):
        example = paragraph.startswith("\b\n")
        yield f"```sh\n{paragraph[2:]}\n```\n" if example else f"{paragraph}\n"
    options = [option for option in command.params if isinstance(option, click.Option)]
    if options:
        yield "| option | default | |\n|---|---|---|"
        yield from map(_option, options)
        yield ""


def _is_argument(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Argument)


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.opts)
    value = "" if option.is_flag else f" `{_value(option)}`"
    default = f"`{_shown(option.default)}`" if option.show_default else ""
    return _row(names + value, default, option.help or "")


def _value(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(option.type.choices)
    known = isinstance(option.type, Parsed)
    return option.metavar or (option.type.name if known else option.type.name.upper())


def _shown(default: object) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)


def _job_keys() -> Iterator[str]:
    yield "## Job files\n"
    yield "Paths are relative to the file; `{date}` in them is today.\n"
    for section, about in SECTIONS.items():
        yield f"### `[{section}]`\n\n{about}\n"
        yield "| key | value | option | |\n|---|---|---|---|"
        for key, found in schema()["$defs"][section.title()]["properties"].items():
            option = OPTION_AT.get((section, key))
            typed = option.typed if option else []
            flag = next((f"`{word}`" for word in typed if word.startswith("--")), "")
            yield _row(f"`{key}`", _kind(found), flag, found["description"])
        yield ""


def _kind(found: dict[str, Any]) -> str:
    kinds = [kind for kind in found.get("anyOf", [found]) if kind.get("type") != "null"]
    return " or ".join(
        ", ".join(f"`{choice}`" for choice in kind["enum"]) if "enum" in kind else kind["type"]
        for kind in kinds
    )


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |"


def usage() -> str:
    """What click prints for ``bulk-unenroll --help`` on 80 columns."""
    return CliRunner().invoke(cli, ["--help"], prog_name=PROGRAM).output


def _write_usage() -> None:
    path = Path(help_text.__file__)
    before, _, _ = path.read_text("utf-8").partition(OPENING)
    path.write_text(f'{before}{OPENING}{usage()}"""\n', "utf-8")


if __name__ == "__main__":
    PAGE.write_text(text(), "utf-8")
    _write_usage()
