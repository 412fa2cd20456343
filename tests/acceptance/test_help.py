"""What a person finds without a manual: help with examples, completion, a true reference."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from bulk_unenroll.cli.app import cli
from tests import reference
from tests.kit.command import SAMPLES, Desk
from tests.kit.terminal import talk
from tests.kit.tiers import thorough

COMMANDS = dict(reference.commands())
LEAVES = {words: one for words, one in COMMANDS.items() if not isinstance(one, click.Group)}
COLOUR = re.compile(r"\x1b\[[0-9;]*(3|4|9)[0-9]m")


class TestHelp:
    @pytest.mark.parametrize("words", LEAVES)
    def test_every_command_has_an_example_of_itself(self, words: str) -> None:
        assert any(line.startswith(words) for line in reference.examples(LEAVES[words]))

    @pytest.mark.parametrize(
        "line", [line for command in COMMANDS.values() for line in reference.examples(command)]
    )
    def test_every_example_is_understood(self, line: str) -> None:
        words = shlex.split(re.split(r" {3,}| >", line)[0])[1:]
        command: click.Command | None = cli
        name: str | None = None
        while isinstance(command, click.Group):
            name, command, words = command.resolve_command(click.Context(cli), words)
        assert command
        with command.make_context(name, words):
            pass

    @pytest.mark.parametrize("words", LEAVES)
    def test_every_option_says_what_it_is_for(self, words: str) -> None:
        for option in LEAVES[words].params:
            assert isinstance(option, click.Argument) or option.help, option.name

    def test_the_reference_is_up_to_date(self) -> None:
        again = "write it again: python -m tests.reference"
        assert reference.PAGE.read_text("utf-8") == reference.text(), again


@pytest.fixture
def shell(desk: Desk) -> Desk:
    """A desk with the command on its path, as pip installs it."""
    folder = desk.folder / "bin"
    folder.mkdir()
    command = folder / "bulk-unenroll"
    command.write_text(f"#!{sys.executable}\nfrom bulk_unenroll.cli.main import main\nmain()\n")
    command.chmod(0o755)
    desk.environment["PATH"] = f"{folder}:{desk.environment['PATH']}"
    desk.environment["HOME"] = str(desk.folder)
    return desk


def said_by(shell: Desk, name: str, script: str) -> set[str]:
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    done = subprocess.run(
        [name, "-c", script],
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert not done.stderr, done.stderr
    return set(done.stdout.split())


class TestCompletion:
    @pytest.mark.parametrize(
        ("typed", "offered"),
        [
            ("bulk-unenroll re", {"report", "resume", "retry"}),
            pytest.param(
                "bulk-unenroll run --max-",
                {
                    "--max-attempts",
                    "--max-failures",
                    "--max-invalid",
                    "--max-rows",
                    "--max-customers",
                    "--max-target",
                    "--max-not-enrolled",
                },
                marks=pytest.mark.thorough,
            ),
            pytest.param(
                "bulk-unenroll job ", {"check", "run", "schema"}, marks=pytest.mark.thorough
            ),
            pytest.param(
                "bulk-unenroll retry --state in", {"in_doubt"}, marks=pytest.mark.thorough
            ),
        ],
    )
    def test_bash_completes_commands_options_and_values(
        self, shell: Desk, typed: str, offered: set[str]
    ) -> None:
        words = typed.split(" ")
        script = f"""
            eval "$(bulk-unenroll completion bash)"
            COMP_WORDS=({" ".join(words)} {"''" if typed.endswith(" ") else ""})
            COMP_CWORD={len(words) - 1}
            _bulk_unenroll_completion bulk-unenroll
            echo "${{COMPREPLY[@]}}"
        """
        assert said_by(shell, "bash", script) == offered

    def test_bash_completes_the_paths_of_inputs(self, shell: Desk) -> None:
        script = """
            compopt() { echo "$@"; }
            eval "$(bulk-unenroll completion bash)"
            COMP_WORDS=(bulk-unenroll plan cust)
            COMP_CWORD=2
            _bulk_unenroll_completion bulk-unenroll
        """
        assert said_by(shell, "bash", script) == {"-o", "default"}

    @pytest.mark.thorough
    def test_fish_completes_commands(self, shell: Desk) -> None:
        script = 'bulk-unenroll completion fish | source; complete -C "bulk-unenroll re"'
        assert said_by(shell, "fish", script) >= {"report", "resume", "retry"}

    @pytest.mark.thorough
    def test_zsh_completes_the_command(self, shell: Desk) -> None:
        script = """
            autoload -U compinit; compinit -u
            eval "$(bulk-unenroll completion zsh)"
            echo $_comps[bulk-unenroll]
            export COMP_WORDS="bulk-unenroll re" COMP_CWORD=1
            _BULK_UNENROLL_COMPLETE=zsh_complete bulk-unenroll
        """
        assert said_by(shell, "zsh", script) >= {"_bulk_unenroll_completion", "resume", "retry"}


class TestColour:
    def shown(self, desk: Desk, *words: object) -> str:
        desk.environment["TERM"] = "xterm-256color"
        code, said = talk(desk, words)
        assert code in (0, 1), said
        return said

    @pytest.mark.parametrize(
        "words",
        [
            ("plan", SAMPLES / "cleanup.csv"),
            *thorough(("run", SAMPLES / "cleanup.csv", "--sandbox", "--yes", "--rate", "2000/s")),
        ],
    )
    @pytest.mark.thorough
    def test_a_terminal_has_colours_unless_no_color_is_set(
        self, desk: Desk, words: tuple[object, ...]
    ) -> None:
        desk.environment.pop("NO_COLOR", None)
        assert COLOUR.search(self.shown(desk, *words))
        desk.environment["NO_COLOR"] = "1"
        assert not COLOUR.search(self.shown(desk, *words, "--out", Path("again")))
