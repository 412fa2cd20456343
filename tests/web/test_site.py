"""What a look at a job says while its command ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bulk_unenroll.web import processes
from bulk_unenroll.web.job_state import Stage
from bulk_unenroll.web.jobs import Job
from bulk_unenroll.web.site import look_at

OUTCOME = {"exit": {"code": 0, "reason": ""}, "status": {"succeeded": 3, "pending": 0}}


def test_a_run_that_ends_while_it_is_looked_at_was_not_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path)
    job.write("job.json", {"shown": "a.csv"})
    job.write("child.json", {"what": "run", "sent": "run", "pid": 0, "began": ""})
    (job.folder / "run.json").write_text("")

    def ends(asked: Job) -> None:
        (asked.folder / "run.json").write_text(json.dumps(OUTCOME))

    monkeypatch.setattr(processes, "works_on", ends)
    assert look_at(job).stage is Stage.FINISHED
