"""Which addresses of a ledger may be shown and written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from bulk_unenroll.commands.shared import shared, shared_folder
from bulk_unenroll.errors import UsageError
from bulk_unenroll.ledger.job_address import NAME, SharedJob, has_password, name_job


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@h/d",
        "postgresql://u:s3/cret@h/d",
        "postgresql://u:s3?cret@h/d",
        "postgresql://u:s3#cret@h/d",
        "postgresql://u@h/d?password=s3cret",
        "postgresql://u@h/d?sslpassword=s3cret",
    ],
)
def test_one_with_a_password_is_never_written_down(tmp_path: Path, url: str) -> None:
    assert has_password(url)
    name_job(tmp_path, SharedJob("job", url))
    assert "cret" not in (tmp_path / NAME).read_text()


@pytest.mark.parametrize(
    "url",
    ["postgresql://u@h/d", "postgresql:///d?host=/run/x&user=u", "postgres://u@h1:1,h2:2/d?a=b"],
)
def test_one_without_is(tmp_path: Path, url: str) -> None:
    assert not has_password(url)
    name_job(tmp_path, SharedJob("job", url))
    assert url in (tmp_path / NAME).read_text()


@pytest.mark.parametrize("job", ["", "-x", "Cleanup", "a b", "../x", "a/b", "ä", "a" * 41])
def test_a_name_that_no_job_can_have_is_refused_before_there_is_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    """An empty one, too: it is a variable that was not set, not a job named after the input."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match="not a name of a job"):
        shared(job, ledger="postgresql://u@h/d")
    with pytest.raises(UsageError, match="not a name of a job"):
        shared_folder(["cleanup.csv"], "postgresql://u@h/d", job, None)
    assert list(tmp_path.rglob("*")) == [tmp_path / "here"]
