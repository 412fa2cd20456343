"""Every example under jobs/ runs as it stands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.desk import REPO, Desk, Witness

Start = Callable[..., Witness]


@pytest.fixture
def job(desk: Desk) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a job with the command on its path."""
    bin_ = desk.folder / "bin"
    bin_.mkdir()
    command = bin_ / "bulk-unenroll"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m bulk_unenroll "$@"\n')
    command.chmod(0o755)

    def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(REPO / "jobs" / name), *words],
            cwd=desk.folder,
            env={**desk.environment, "PATH": f"{bin_}:{os.environ['PATH']}", "RATE": "500/s"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_a_nightly_cleanup_and_a_rerun_on_monday(
    desk: Desk, witness: Start, job: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    api = witness("[book]\ncustomers = [" + ", ".join(map(str, range(1, 96))) + "]\n")
    desk.write("drop.csv", [(who, 1001, 2001) for who in range(1, 101)])
    until = (datetime.now() + timedelta(hours=1)).strftime("%H:%M")
    night = job("nightly-cleanup.sh", "drop.csv", "night", until)
    assert night.returncode == 1, night.stderr
    assert json.loads(night.stdout)["codes"] == {"310011": 5}
    assert (desk.folder / "night.log").stat().st_mode & 0o777 == 0o600

    api.ask("teach", {"customers": [96, 97, 98]})
    monday = job("rerun-code.sh", "night", "310011", "rest.csv")
    assert monday.returncode == 1, monday.stderr
    assert [row["customerId"] for row in desk.results("rest.csv")] == ["99", "100"]
    api.ask("teach", {"customers": [99, 100]})
    assert job("rerun-code.sh", "night", "310011", "rest.csv").returncode == 0


def test_every_job_is_named_in_its_readme() -> None:
    told = (REPO / "jobs" / "README.md").read_text()
    for path in Path(REPO / "jobs").iterdir():
        assert path.name == "README.md" or path.name in told
