"""Job files: every option is reachable, all that is wrong is said at once."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from bulk_unenroll.cli.job_file import Base, JobCommand, JobFileError, read_job
from bulk_unenroll.cli.job_keys import MODELS, schema

BASE = Base(Path("/srv/jobs"), date(2026, 1, 2))


def read(text: str) -> JobCommand:
    return read_job(text, BASE)


def problems(text: str) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        read(text)
    return caught.value.problems


def test_a_run() -> None:
    job = read(
        """
        [input]
        files = ["in/{date}.csv", "/abs/{date:%d%m}.csv"]
        columns = { customerId = "Member No" }
        target_group_id = 1001
        [api]
        client_key_env = "KEY"
        read_timeout_s = 30
        [schedule]
        unattended = true
        [output]
        folder = "runs/{date}"
        export = false
        """
    )
    assert job.command == "run"
    assert job.arguments == ["/srv/jobs/in/2026-01-02.csv", "/abs/0201.csv"]
    assert job.secrets == {"BULK_UNENROLL_CLIENT_KEY": "KEY"}
    assert job.options == {
        "columns": [("customerId", "Member No")],
        "target_group_id": 1001,
        "read_timeout_s": 30,
        "yes": True,
        "out": "/srv/jobs/runs/2026-01-02",
        "export": False,
    }


def test_a_rerun_and_a_job_that_continues() -> None:
    rerun = read('[retry]\ncodes = ["310011"]\nstates = ["failed"]\n[output]\nfolder = "x"')
    assert (rerun.command, rerun.arguments) == ("retry", ["/srv/jobs/x"])
    assert rerun.options == {"codes": ["310011"], "states": ["failed"]}
    assert read('[output]\nfolder = "x"').command == "resume"


def test_standard_input_is_not_a_path() -> None:
    assert read('[input]\nfiles = "-"').arguments == ["-"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[inptu]\nfiles = 'a'", "inptu is not a key: did you mean input?"),
        ("[input]\nfile = 'a'", "input.file is not a key: did you mean input.files?"),
        (
            "[api]\nread_timeout = 3",
            "api.read_timeout is not a key: did you mean api.read_timeout_s?",
        ),
        ("[pace]\nconcurrency = 3", "pace.concurrency is not a key: did you mean api.concurrency?"),
        ("[retry]\nstates = ['failed', 'gone']", "retry.states: input should be 'blocked', "),
        ("[limits]\ncanary = 'ten'", "limits.canary: input should be a valid integer, not 'ten'"),
        ("[retry]\nin_doubt = 'drop'", "retry.in_doubt: "),
        ("[api]\npassword = 'secret'", "api.password is not a key: did you mean api.password_env?"),
        ("x =", "not valid TOML"),
        ("", "[input] is missing"),
        ("[input]\nfiles = 'a'\n[retry]\ncodes = ['1']", "write two jobs"),
        ("[input]\nfiles = []", "input.files"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text)), problems(text)


def test_all_faults_are_reported_at_once() -> None:
    assert len(problems("[input]\nfile = 1\n[api]\nurl = 'x'\n[limits]\ncanary = 'x'")) == 4


def test_the_schema_names_every_key_and_refuses_others() -> None:
    text = json.dumps(schema())
    for model in MODELS.values():
        assert schema()["$defs"][model.__name__]["additionalProperties"] is False
        for key in model.model_fields:
            assert f'"{key}"' in text
