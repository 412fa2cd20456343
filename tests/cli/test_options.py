"""The table of options: what is written once is everywhere, and means the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import date, time
from pathlib import Path
from typing import Any

import click
import pytest

from bulk_unenroll.cli.app import cli
from bulk_unenroll.cli.job_file import Base, read_job
from bulk_unenroll.cli.job_keys import MODELS, OPTION_AT
from bulk_unenroll.cli.options import BY_NAME, OPTIONS, Option
from bulk_unenroll.commands.options import settings_among, settings_from
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.option_values import Expectation, Limit, Rate, TargetCap, Window
from bulk_unenroll.settings import RunSettings, SendSettings
from tests import reference

BASE = Base(Path("/jobs"), date(2026, 1, 2))
ARGUMENTS = {"inputs", "folder"}
NOT_IN_A_JOB: Mapping[str, str] = {"restored": "a person says it once, of one copy of a ledger"}
"""Options that a job file cannot say, each with the reason."""
OF_THE_COMMAND_LINE = {
    *("ledger", "job"),
    *("out", "max_invalid", "states", "codes", "targets", "plan", "dry_run", "missing_ok"),
    "begin_only",
    *("json", "yes", "notify", "verbose", "quiet", "log_file", "log_format"),
}
"""Options that no settings hold: they choose what is done, not how."""
EXAMPLES: Mapping[str, tuple[str, str, object]] = {
    "states": ("review", '["review"]', ("review",)),
    "codes": ("310011", '["310011"]', ("310011",)),
    "targets": ("1001/2001", '["1001/2001"]', ("1001/2001",)),
    "out": ("/runs/x", '"/runs/x"', Path("/runs/x")),
    "ledger": ("postgresql://u@h/d", '"postgresql://u@h/d"', "postgresql://u@h/d"),
    "job": ("cleanup", '"cleanup"', "cleanup"),
    "on": ("dask://head:8786", '"dask://head:8786"', "dask://head:8786"),
    "senders": ("4", "4", 4),
    "columns": ("customerId=No=1", '{ customerId = "No=1" }', (("customerId", "No=1"),)),
    "target_group_id": ("1001", "1001", 1001),
    "target_id": ("9223372036854775807", "9223372036854775807", 9223372036854775807),
    "data_scope_org": ("7", "7", 7),
    "delimiter": ("tab", '"tab"', "\t"),
    "encoding": ("cp1252", '"cp1252"', "cp1252"),
    "sheet": ("May", '"May"', "May"),
    "header_row": ("3", "3", 3),
    "missing_ok": ("", "true", True),
    "max_rows": ("1000", "1000", 1000),
    "loaders": ("3", "3", 3),
    "max_invalid": ("5", "5", Limit(5, percent=False)),
    "allow": ("phones", '["phones"]', ("phones",)),
    "rate": ("50/s", '"50/s"', Rate(50, 1.0)),
    "in_doubt": ("hold", '"hold"', "hold"),
    "base_url": ("https://h/v3.1", '"https://h/v3.1"', "https://h/v3.1"),
    "sandbox": ("", "true", True),
    "sandbox_scenario": ("/s.toml", '"/s.toml"', Path("/s.toml")),
    "pace": ("adaptive", '"adaptive"', "adaptive"),
    "ramp_s": ("15m", '"15m"', 900.0),
    "concurrency": ("4", "4", 4),
    "max_attempts": ("1", "1", 1),
    "read_timeout_s": ("0.5", "0.5", 0.5),
    "connect_timeout_s": ("30", "30", 30.0),
    "canary": ("0", "0", 0),
    "canary_good": ("80%", '"80%"', Limit(80, percent=True)),
    "max_not_enrolled": ("30%", '"30%"', Limit(30, percent=True)),
    "max_failures": ("0.5%", '"0.5%"', Limit(0.5, percent=True)),
    "stop_after_s": ("1h30m", '"1h30m"', 5400.0),
    "stop_at": ("05:00", '"05:00"', time(5)),
    "window": ("22:00-05:00", '"22:00-05:00"', Window(time(22), time(5))),
    "expect": ("312", "312", Expectation(312)),
    "never": ("/never.csv", '["/never.csv"]', (Path("/never.csv"),)),
    "max_customers": ("900", "900", 900),
    "max_target": ("1001/2001=9", '["1001/2001=9"]', (TargetCap("1001/2001", 9),)),
    "limit": ("50", "50", 50),
    "history": ("off", '"off"', "off"),
    "beside": ("", "true", True),
    "first_time": ("go", '"go"', "go"),
    "plan": ("1a2b3c4d5e6f", '"1a2b3c4d5e6f"', "1a2b3c4d5e6f"),
    "dry_run": ("", "true", True),
    "begin_only": ("", "true", True),
    "yes": ("", "true", True),
    "export": ("", "false", False),
    "metrics_file": ("/m.prom", '"/m.prom"', Path("/m.prom")),
    "progress_file": ("/p.json", '"/p.json"', Path("/p.json")),
    "notify": ("halt", '"halt"', "halt"),
    "json": ("", "true", True),
    "log_format": ("json", '"json"', "json"),
    "log_file": ("/a.log", '"/a.log"', Path("/a.log")),
    "verbose": ("", "true", True),
    "quiet": ("", "true", True),
    "log_ids": ("", "true", True),
}
"""Of each option: what is typed, what a job file holds, and what both mean."""
every_option = pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)


def parsed(command: str, words: list[str], **more: Any) -> dict[str, Any]:
    argument = "folder" if command in ("resume", "retry") else "a.csv"
    with cli.commands[command].make_context(command, [*words, argument], **more) as context:
        return context.params


@every_option
def test_a_command_line_and_a_job_file_mean_the_same(option: Option) -> None:
    text, toml, meant = EXAMPLES[option.name]
    command = "run" if "run" in option.commands else "retry"
    needed = {"run": 'input.files = "a"', "retry": 'output.folder = "x"'}[command]
    job = read_job(f"{needed}\n{'.'.join(option.place_in_job)} = {toml}", BASE)
    typed = parsed(command, [option.typed[-1], *([text] if text else [])])
    assert typed[option.name] == meant
    assert parsed(command, [], default_map=job.options)[option.name] == meant


@every_option
def test_what_is_typed_wins_over_a_job_file(option: Option) -> None:
    text, _, meant = EXAMPLES[option.name]
    job = {option.name: option.default}
    words = [option.typed[-1], *([text] if text else [])]
    command = "run" if "run" in option.commands else "retry"
    assert parsed(command, words, default_map=job)[option.name] == meant


@pytest.mark.parametrize("command", ["run", "resume", "retry"])
def test_every_option_of_a_run_is_in_the_table_the_reference_and_a_job_file(command: str) -> None:
    page = reference.PAGE.read_text("utf-8")
    keys = {place for place, option in OPTION_AT.items() if command in option.commands}
    for parameter in cli.commands[command].params:
        if isinstance(parameter, click.Argument):
            continue
        if parameter.name in NOT_IN_A_JOB:
            assert f"`{parameter.opts[-1]}`" in page
            continue
        option = BY_NAME[str(parameter.name)]
        section, key = option.place_in_job
        assert f"`{option.typed[-1]}`" in page
        assert key in MODELS[section].model_fields
        keys.discard(option.place_in_job)
    assert not keys, "keys that set no option of the command"


@pytest.mark.parametrize("kind", [SendSettings, RunSettings, ReadSettings])
def test_every_field_of_the_settings_is_an_option(kind: type) -> None:
    """So that a default, or a field that nobody can set, is noticed."""
    started = {"began_at", "began_s"}
    names = {field.name for field in fields(kind)} - started
    assert names <= {option.name for option in OPTIONS}


def test_every_option_is_a_field_of_the_settings_or_of_the_command_line() -> None:
    kinds = (SendSettings, RunSettings, ReadSettings)
    held = {field.name for kind in kinds for field in fields(kind)}
    assert {option.name for option in OPTIONS} - held == OF_THE_COMMAND_LINE


def test_without_options_the_settings_are_their_defaults() -> None:
    found, default = settings_among(parsed("run", [])), settings_from({})
    assert (found.read, found.send) == (default.read, default.send)
    for field in fields(RunSettings):
        if not field.name.startswith("began"):
            assert getattr(found.run, field.name) == getattr(default.run, field.name)


def test_what_is_given_arrives_in_the_settings() -> None:
    words = ["--rate", "7/h", "--in-doubt", "hold", "--no-export", "--target-id", "9"]
    found = settings_among(parsed("run", words))
    assert found.send == SendSettings(rate=Rate(7, 3600.0), in_doubt="hold")
    assert found.run.export is False
    assert found.read == ReadSettings(target_id=9)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("columns", "Member No"),
        ("columns", "memberId=Member No"),
        ("target_id", "0423"),
        ("targets", "1001"),
        ("targets", "1001/x"),
        ("delimiter", ",;"),
        ("read_timeout_s", "nan"),
        ("stop_at", "25:00"),
        ("window", "22:00"),
        ("stop_after_s", "1d"),
        ("rate", "10/sec"),
        ("max_invalid", "101%"),
    ],
)
def test_what_is_not_a_value_is_refused_with_the_option_and_the_text(name: str, text: str) -> None:
    option = BY_NAME[name]
    command = "run" if "run" in option.commands else "retry"
    with pytest.raises(click.BadParameter) as refused:
        parsed(command, [option.typed[-1], text])
    assert option.typed[-1] in refused.value.format_message()
    assert text in refused.value.format_message()
