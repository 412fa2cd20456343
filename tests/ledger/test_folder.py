"""The run folder: where it is, and who works in it; its ledger, held alone or read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from bulk_unenroll.errors import FolderBusy, FolderUnusable, InputMissing, Stop
from bulk_unenroll.ledger.folder import existing_folder, ledger_path, locked, make_folder
from bulk_unenroll.ledger.opening import check_conservation, open_ledger, open_reader, prove
from tests.ledger.kit import confirmed, keys, states


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "job.unenroll"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestFolder:
    def test_it_cannot_be_made_where_a_file_is(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(FolderUnusable) as caught:
                make_folder(path)
            assert caught.value.code == 73

    def test_it_is_named_by_itself_or_by_its_ledger(self, folder: Path) -> None:
        with open_ledger(folder):
            pass
        assert existing_folder(folder) == folder
        assert existing_folder(ledger_path(folder)) == folder

    def test_a_folder_without_a_ledger_is_missing(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(InputMissing) as caught:
                existing_folder(path)
            assert caught.value.code == 66

    def test_a_second_sender_is_turned_away_at_once(self, tmp_path: Path) -> None:
        with locked(tmp_path):
            with pytest.raises(FolderBusy) as caught, locked(tmp_path):
                pass
            assert caught.value.code == 75
            assert mode_of(tmp_path / "lock") == 0o600
        with locked(tmp_path):
            pass


class TestOpening:
    def test_what_is_missing_is_made_and_then_found_again(self, folder: Path) -> None:
        with open_ledger(folder) as ledger:
            confirmed(ledger, keys(1))
        assert mode_of(folder) == 0o700
        with open_ledger(folder) as ledger:
            assert states(ledger) == {1: "pending"}

    def test_who_works_in_it_holds_it_alone_and_holds_up_no_reader(self, folder: Path) -> None:
        with open_ledger(folder) as ledger:
            confirmed(ledger, keys(1))
            with pytest.raises(FolderBusy), open_ledger(folder):
                pass
            with open_reader(folder) as reader:
                assert reader.row_counts([1]).read == 1

    def test_an_honest_ledger_is_proven(self, folder: Path) -> None:
        with open_ledger(folder) as ledger:
            confirmed(ledger, keys(1))
            prove(ledger.reader)
            check_conservation(ledger.reader)

    def test_an_accounting_that_does_not_close_is_an_internal_error(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_ledger(folder) as ledger:
            monkeypatch.setattr(
                type(ledger.reader), "conservation_faults", lambda reader: ["1 row is missing"]
            )
            with pytest.raises(Stop, match="1 row is missing") as caught:
                check_conservation(ledger.reader)
        assert caught.value.code == 70
