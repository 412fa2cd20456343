"""Which files are behind the names that a user gives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bulk_unenroll.errors import InputMissing, InputRefused
from bulk_unenroll.inputs.finding import default_folder, find_inputs
from tests.inputs.test_source import HEADER, text


class TestFinding:
    def test_each_file_is_found_once_under_its_real_path(self, tmp_path: Path) -> None:
        path = text(tmp_path, HEADER)
        (tmp_path / "link.csv").symlink_to(path)
        found = find_inputs([str(path), str(tmp_path / "*.csv"), str(tmp_path / "link.csv")])
        assert [file.path for file in found] == [str(path)]

    def test_the_name_of_an_existing_file_is_not_a_glob(self, tmp_path: Path) -> None:
        text(tmp_path, HEADER, "a[1].csv")
        text(tmp_path, HEADER, "a1.csv")
        (found,) = find_inputs([str(tmp_path / "a[1].csv")])
        assert found.path.endswith("a[1].csv")

    def test_run_folders_are_not_inputs(self, tmp_path: Path) -> None:
        (tmp_path / "parts/a.unenroll").mkdir(parents=True)
        for name in ("parts/a.parquet", "parts/a.unenroll/export.parquet", "parts/a.csv"):
            (tmp_path / name).touch()
        for name, ends in (("parts", ["a.parquet"]), ("parts/a.*", ["a.csv", "a.parquet"])):
            assert [Path(f.path).name for f in find_inputs([str(tmp_path / name)])] == ends

    def test_nested_parts_are_found_once_and_in_order(self, tmp_path: Path) -> None:
        for name in ("d=2/b.parquet", "d=1/z.parquet", "d=1/.crc/x.parquet"):
            (tmp_path / "t" / name).parent.mkdir(parents=True)
            (tmp_path / "t" / name).touch()
        (tmp_path / "t/again.parquet").symlink_to(tmp_path / "t/d=1/z.parquet")
        found = find_inputs([str(tmp_path / "t"), str(tmp_path / "t/d=2/b.parquet")])
        assert [Path(f.path).name for f in found] == ["again.parquet", "b.parquet"]

    def test_a_link_is_what_it_is_called(self, tmp_path: Path) -> None:
        (tmp_path / "day-1.csv").touch()
        (tmp_path / "latest.csv").symlink_to("day-1.csv")
        (found,) = find_inputs([str(tmp_path / "latest.csv"), str(tmp_path / "day-1.csv")])
        assert found.path == str(tmp_path / "latest.csv")

    def test_a_way_round_is_the_same_name(self, tmp_path: Path) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "a.csv").touch()
        (found,) = find_inputs([f"{tmp_path}/in/../a.csv"])
        assert found.path == str(tmp_path / "a.csv")

    def test_parts_know_what_they_are_parts_of(self, tmp_path: Path) -> None:
        for name in ("a.csv", "b.csv"):
            (tmp_path / name).touch()
        glob = find_inputs([f"{tmp_path}/*.csv"])
        assert {file.part_of for file in glob} == {f"{tmp_path}/*.csv"}
        (alone,) = find_inputs([f"{tmp_path}/a.csv"])
        assert alone.part_of == ""

    def test_impossible_names(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")
        for name in ("x" * 5000, "a\0b", "[", "", str(tmp_path / "loop")):
            with pytest.raises(InputMissing):
                find_inputs([name])
        path = tmp_path / os.fsdecode(b"\xff.csv")
        path.touch()
        with pytest.raises(InputRefused, match="UTF-8"):
            find_inputs([str(path)])

    def test_hidden_parts_are_skipped(self, tmp_path: Path) -> None:
        folder = tmp_path / "parts"
        (folder / "_temporary").mkdir(parents=True)
        for name in ("b.parquet", "a.parquet", "_c.parquet", ".d.parquet", "_temporary/e.parquet"):
            (folder / name).touch()
        assert [Path(f.path).name for f in find_inputs([str(folder)])] == ["a.parquet", "b.parquet"]

    @pytest.mark.parametrize("name", ["nothing.csv", "*.nothing", "empty"])
    def test_names_of_nothing(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputMissing):
            find_inputs([str(tmp_path / name)])

    @pytest.mark.parametrize(
        ("name", "folder"),
        [
            ("cleanup.csv", "cleanup.unenroll"),
            ("in/cleanup.csv.gz", "cleanup.unenroll"),
            ("a.b.parquet", "a.b.unenroll"),
            ("list", "list.unenroll"),
            ("list.dat", "list.unenroll"),
            ("-", "stdin.unenroll"),
        ],
    )
    def test_the_name_of_the_run_folder(self, name: str, folder: str) -> None:
        assert default_folder([name]) == Path(folder)
