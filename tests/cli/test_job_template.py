"""A job file to begin with says what it was given, whatever that is."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from bulk_unenroll.cli.job_file import Base, read_job
from bulk_unenroll.cli.job_template import Start, job_text
from bulk_unenroll.cli.options import BY_NAME
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.option_values import parse_limit
from bulk_unenroll.settings import RUN_MAX_INVALID
from bulk_unenroll.urls import is_remote

BASE = Base(Path("/jobs"), date(2026, 11, 23))

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{"), min_size=1)


@example(name="a", files="HTTPS:/a", header="a", url=None)
@given(name=TEXT, files=TEXT, header=TEXT, url=st.none() | st.just("https://eu.example/v3.1"))
def test_it_is_a_job_with_these_files_and_columns(
    name: str, files: str, header: str, url: str | None
) -> None:
    settings = ReadSettings(columns=[("customerId", header)], target_group_id=1001, target_id=2001)
    text = job_text(Start(name, files, "x.unenroll", (header,), settings, url))
    job = read_job(text, BASE)
    assert job.command == "run"
    is_as_given = files == "-" or is_remote(files)
    assert job.arguments == [files if is_as_given else str(BASE.folder / files)]
    assert job.options["columns"] == [("customerId", header)]
    assert (job.options["target_group_id"], job.options["target_id"]) == (1001, 2001)
    assert ("sandbox" in job.options) == (url is None)


def test_it_holds_the_defaults() -> None:
    text = job_text(Start("a.toml", "a.csv", "a.unenroll", (), ReadSettings(), None))
    given = read_job(text, BASE).options
    for name in ("rate", "canary", "max_failures", "notify"):
        option = BY_NAME[name]
        assert option.type.convert(given[name], None, None) == option.default
    assert parse_limit(given["max_invalid"]) == RUN_MAX_INVALID


def test_its_examples_are_valid() -> None:
    text = job_text(Start("a.toml", "a.csv", "a.unenroll", (), ReadSettings(), None))
    examples = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    given = read_job(examples, BASE).options
    names = ("pace", "expect", "yes", "stop_at", "stop_after_s", "log_file", "metrics_file")
    for name in (*names, "window", "max_customers", "progress_file"):
        assert BY_NAME[name].type.convert(given[name], None, None) != BY_NAME[name].default
