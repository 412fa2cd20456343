"""A job file to begin with says what it was given, whatever that is."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.cli.job_file import read_job
from bulk_unenroll.cli.job_template import Start, job_text
from bulk_unenroll.inputs.mapping import ReadSettings

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="{"), min_size=1)


@given(name=TEXT, files=TEXT, header=TEXT, url=st.none() | st.just("https://eu.example/v3.1"))
def test_it_is_a_job_with_these_files_and_columns(
    name: str, files: str, header: str, url: str | None
) -> None:
    reading = ReadSettings(columns=[("customerId", header)], group=1001, target=2001)
    text = job_text(Start(name, files, "x.unenroll", (header,), reading, url))
    order = read_job(text, Path("/jobs"), date(2026, 11, 23))
    assert order.command == "run"
    assert order.arguments == [files if files == "-" else str(Path("/jobs") / files)]
    assert order.options["columns"] == [f"customerId={header}"]
    assert (order.options["target_group_id"], order.options["target_id"]) == ("1001", "2001")
    assert ("sandbox" in order.options) == (url is None)
