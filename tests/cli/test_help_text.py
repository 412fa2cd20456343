"""``--help`` alone is answered before click is imported, with click's own words."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bulk_unenroll.cli.help_text import USAGE
from tests import reference
from tests.kit.command import PROGRAM, clean_environment


def test_the_ready_made_help_is_what_click_would_say() -> None:
    assert reference.usage() == USAGE, "write it again: python -m tests.reference"


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help_is_shown_without_importing_click(word: str) -> None:
    command = (sys.executable, "-X", "importtime", *PROGRAM[1:], word)
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, USAGE)
    assert "bulk_unenroll.cli.help_text" in done.stderr
    assert "click" not in done.stderr


def test_help_into_a_closed_pipe_ends_quietly() -> None:
    process = subprocess.Popen(
        [*PROGRAM, "--help"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    process.stdout.close()
    assert process.stderr
    assert (process.stderr.read(), process.wait(timeout=10)) == (b"", 0)
    process.stderr.close()
