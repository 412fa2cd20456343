"""A signal that a library swallows, or turns into another error, is obeyed all the same."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.command import SAMPLES, clean_environment
from tests.kit.tiers import thorough

SWALLOWED = """
import os, signal, sys
import bulk_unenroll.commands.run as run
real = run.load_and_survey
def survey(*given, **more):
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException as error:
        {then}
    return real(*given, **more)
run.load_and_survey = survey
sys.argv[1:] = ["run", sys.argv[1], "--out", "a", "--sandbox", "--yes"]
from bulk_unenroll.cli.main import main
main()
"""


@pytest.mark.parametrize(
    "then", ["pass", *thorough("raise AttributeError('partly imported') from None")]
)
def test_it_stops_before_anything_is_sent(tmp_path: Path, then: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED.format(then=then), str(SAMPLES / "cleanup.csv")],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGTERM, done.stderr.decode()
    assert b"interrupted by SIGTERM" in done.stderr
    assert b"Traceback" not in done.stderr
    assert not (tmp_path / "a" / "results.csv").exists()
