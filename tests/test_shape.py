"""The figures of ``python -m tests.shape``, of a package small enough to count by hand."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests import shape

OLD = "def old(): ...\n"
NEW = '''"""A module."""


class Known:
    """Public."""

    def typed(self, one: int, *more: str) -> int:
        return one

    def untyped(self, one) -> int:
        """Public too."""
        return one

    def _private(self) -> None: ...


@decorated
@twice
def four_lines() -> None:
    return None
'''


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    wing = tmp_path / shape.PACKAGE / "wing"
    wing.mkdir(parents=True)
    (wing / "a.py").write_text(NEW)
    (wing / "b.py").write_text("")
    (wing.parent / "c.py").write_text("")
    return tmp_path


def test_the_figures_are_those_that_one_counts(repo: Path) -> None:
    assert shape.measure(shape.here(repo)) == {
        "functions": "4",
        "function, median lines": "2.5",
        "function, p90 lines": "4",
        "modules": "3",
        "module, median lines": "0",
        "module, most lines": "20 (a.py)",
        "widest folder, modules": "2 (bulk_unenroll/wing)",
        "public with a docstring": "42.9%",
        "functions fully typed": "75.0%",
    }


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_a_revision_is_read_without_a_checkout(repo: Path) -> None:
    path = repo / shape.PACKAGE / "wing" / "a.py"
    path.write_text(OLD)
    git = ["git", "-C", str(repo), "-c", "user.name=x", "-c", "user.email=x@localhost"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "old"]):
        subprocess.run([*git, *words], check=True)
    path.write_text(NEW)
    old = shape.at("HEAD", repo)
    assert {one.as_posix(): text for one, text in old.items()} == {
        "bulk_unenroll/wing/a.py": OLD,
        "bulk_unenroll/wing/b.py": "",
        "bulk_unenroll/c.py": "",
    }


def test_two_shapes_stand_side_by_side() -> None:
    assert shape.table({"old": {"modules": "74"}, "now": {"modules": "101"}}) == (
        "|         | old | now |\n| ------- | --- | --- |\n| modules | 74  | 101 |\n"
    )
