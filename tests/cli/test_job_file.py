"""Job files: every option is reachable, all that is wrong is said at once."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from bulk_unenroll.cli.app import cli
from bulk_unenroll.cli.job_file import OPTIONS, SECTIONS, JobFileError, Order, read_job, schema

TODAY = date(2026, 1, 2)
NOT_IN_A_FILE = {"help", "inputs", "folder"}


def read(text: str) -> Order:
    return read_job(text, Path("/srv/jobs"), TODAY)


def problems(text: str) -> list[str]:
    with pytest.raises(JobFileError) as caught:
        read(text)
    return caught.value.problems


@pytest.mark.parametrize("command", ["run", "retry", "resume"])
def test_every_option_of_a_command_is_reachable(command: str) -> None:
    keys = {(section, key) for section, kind in SECTIONS.items() for key in kind.model_fields}
    reached = {OPTIONS.get(place, place[1]) for place in keys}
    options = {param.name for param in cli.commands[command].params} - NOT_IN_A_FILE
    assert options <= reached


def test_no_key_leads_nowhere() -> None:
    options = {param.name for name in ("run", "retry") for param in cli.commands[name].params}
    for section, kind in SECTIONS.items():
        for key in kind.model_fields:
            known = OPTIONS.get((section, key), key) in options
            assert known or key == "files" or key.endswith("_env"), f"{section}.{key}"


def test_a_run() -> None:
    order = read(
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
    assert order.command == "run"
    assert order.arguments == ["/srv/jobs/in/2026-01-02.csv", "/abs/0201.csv"]
    assert order.secrets == {"client_key": "KEY"}
    assert order.options == {
        "columns": ["customerId=Member No"],
        "target_group_id": "1001",
        "read_timeout": "30.0",
        "yes": True,
        "out": "/srv/jobs/runs/2026-01-02",
        "no_export": True,
    }


def test_a_rerun_and_a_job_that_goes_on() -> None:
    rerun = read('[retry]\ncodes = ["310011"]\nstates = ["failed"]\n[output]\nfolder = "x"')
    assert (rerun.command, rerun.arguments) == ("retry", ["/srv/jobs/x"])
    assert rerun.options == {"codes": ["310011"], "states": ["failed"]}
    assert read('[output]\nfolder = "x"').command == "resume"


def test_standard_input_is_no_path() -> None:
    assert read('[input]\nfiles = "-"').arguments == ["-"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[inptu]\nfiles = 'a'", "inptu is no key: did you mean input?"),
        ("[input]\nfile = 'a'", "input.file is no key: did you mean input.files?"),
        ("[api]\nread_timeout = 3", "api.read_timeout is no key: did you mean api.read_timeout_s?"),
        ("[pace]\nconcurrency = 3", "pace.concurrency is no key: did you mean api.concurrency?"),
        ("[limits]\ncanary = 'ten'", "limits.canary: input should be a valid integer, not 'ten'"),
        ("[retry]\nin_doubt = 'drop'", "retry.in_doubt: "),
        ("[api]\npassword = 'secret'", "api.password is no key: did you mean api.password_env?"),
        ("x =", "it is no TOML"),
        ("", "[input] is missing"),
        ("[input]\nfiles = 'a'\n[retry]\ncodes = ['1']", "are two jobs"),
        ("[input]\nfiles = []", "input.files"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text)), problems(text)


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert len(problems("[input]\nfile = 1\n[api]\nurl = 'x'\n[limits]\nexpect = 'x'")) == 4


def test_the_schema_names_every_key_and_refuses_others() -> None:
    text = json.dumps(schema())
    for kind in SECTIONS.values():
        assert schema()["$defs"][kind.__name__]["additionalProperties"] is False
        for key in kind.model_fields:
            assert f'"{key}"' in text
