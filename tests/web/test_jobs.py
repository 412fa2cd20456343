"""The folder of a job: its record of who did what."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulk_unenroll.web.jobs import Job


@pytest.mark.parametrize("left", [0, 1, 20, -1])
def test_a_note_that_a_full_disk_cut_short_hides_no_other(tmp_path: Path, left: int) -> None:
    job, path = Job(tmp_path), tmp_path / "audit.jsonl"
    job.audit("maria", "planned")
    whole = path.stat().st_size
    job.audit("jose", "downloaded")
    path.write_bytes(path.read_bytes()[: whole + left if left >= 0 else left])
    job.audit("maria", "stopped")
    noted = [line["what"] for line in job.audited()]
    assert noted == ["planned", *["downloaded"] * (left == -1), "stopped"]
