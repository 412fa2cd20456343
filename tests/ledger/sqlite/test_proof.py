"""A ledger notices when somebody cooks its books."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.folder import ledger_path
from bulk_unenroll.ledger.opening import open_ledger
from bulk_unenroll.ledger.sqlite.file import connect_read_only
from bulk_unenroll.ledger.sqlite.ledger import SqliteLedger
from bulk_unenroll.ledger.sqlite.proof import integrity_faults
from bulk_unenroll.model import State
from tests.ledger.kit import BAD_ID, answer, begin, claim, confirmed, keys, turn, unanswered, unsent
from tests.ledger.sqlite.kit import SqlitePlace


@pytest.fixture
def ledger(place: SqlitePlace) -> Iterator[SqliteLedger]:
    """A ledger that is not proven after the test: it will be tampered with."""
    made = place.open()
    yield made
    made.close()


TAMPERINGS = {
    "a failure called a success": "UPDATE item SET state = 'succeeded' WHERE customer_id = 2",
    "a success called a failure": "UPDATE item SET state = 'failed' WHERE customer_id = 1",
    "a success to be called again": "UPDATE item SET state = 'pending' WHERE customer_id = 1",
    "a success called blocked": "UPDATE item SET state = 'blocked' WHERE customer_id = 1",
    "a success called not enrolled": "UPDATE item SET state = 'not_enrolled' WHERE customer_id = 1",
    "an untried one called a success": "UPDATE item SET state = 'succeeded' WHERE customer_id = 5",
    "an untried one called a failure": "UPDATE item SET state = 'failed' WHERE customer_id = 5",
    "an untried one called in doubt": "UPDATE item SET state = 'in_doubt' WHERE customer_id = 5",
    "a tried one called withdrawn": "UPDATE item SET state = 'withdrawn' WHERE customer_id = 2",
    "a doubt called pending": "UPDATE item SET state = 'pending' WHERE customer_id = 3",
    "a doubt called a failure": "UPDATE item SET state = 'failed' WHERE customer_id = 3",
    "a doubt forgotten": "UPDATE item SET doubtful = 0 WHERE customer_id = 3",
    "a review called a failure": "UPDATE item SET state = 'failed' WHERE customer_id = 4",
    "no state at all": "UPDATE item SET state = 'done' WHERE customer_id = 5",
    "attempts added": "UPDATE item SET attempts = attempts + 1 WHERE customer_id = 2",
    "attempts taken away": "UPDATE item SET attempts = 0 WHERE customer_id = 1",
    "an attempt deleted": "DELETE FROM attempt WHERE item = 1 << 40 | 1",
    "an attempt invented": "INSERT INTO attempt (item, attempt, run, sent_at, outcome)"
    " VALUES (1 << 40 | 5, 1, 1, 0, 'succeeded')",
    "an attempt's outcome changed": "UPDATE attempt SET outcome = 'failed'"
    " WHERE item = 1 << 40 | 1",
    "an attempt renumbered": "UPDATE attempt SET attempt = 7 WHERE item = 1 << 40 | 1",
    "the last row deleted": "DELETE FROM row WHERE row = 8",
    "a row in the middle deleted": "DELETE FROM row WHERE row = 6",
    "a repeated row deleted": "DELETE FROM item WHERE customer_id = 1",
    "an invalid row deleted": "DELETE FROM row WHERE row = 7",
    "a row added": "INSERT INTO row (source, row) VALUES (1, 9)",
    "a row renumbered": "UPDATE row SET row = 99 WHERE row = 8",
    "a row given to nobody": "UPDATE row SET item = 99 WHERE row = 6",
    "a duplicate called another's": "UPDATE row SET repeats = 2 WHERE row = 6",
    "a duplicate called a first row": "UPDATE row SET repeats = NULL WHERE row = 6",
    "a row that is there twice": "UPDATE row SET row = 5 WHERE row = 6",
    "the rows as they were deleted": "DELETE FROM chunk",
    "the rows as they were renumbered": "UPDATE chunk SET row_count = row_count - 1",
    "the share of a target changed": "UPDATE share SET items = items + 1",
    "the row count changed": "UPDATE source SET row_count = row_count - 1",
    "a customer deleted": "DELETE FROM item WHERE customer_id = 5",
    "a customer added": "INSERT INTO item (id, target, customer_id) VALUES (1 << 40 | 9, 1, 99)",
    "a customer of no source added": "INSERT INTO item (target, customer_id) VALUES (1, 99)",
    "a target deleted": "DELETE FROM target",
    "a run deleted": "DELETE FROM run",
}


class TestTampering:
    @pytest.fixture
    def booked(self, ledger: SqliteLedger) -> SqliteLedger:
        """Five customers, each in another state, a duplicate and invalid rows."""
        confirmed(ledger, [*keys(1, 2, 3, 4, 5, 1), BAD_ID, BAD_ID])
        begin(ledger)
        one, two, three, four, five = claim(ledger)
        turn(
            ledger,
            answer(one),
            answer(two, State.FAILED, code="310011"),
            unanswered(three),
            answer(four, State.REVIEW, code="no_data"),
            unsent(five),
        )
        return ledger

    def test_an_honest_ledger_has_no_faults(self, booked: SqliteLedger) -> None:
        assert booked.reader.integrity_faults() == []
        assert booked.reader.conservation_faults() == []

    @pytest.mark.parametrize("tampering", TAMPERINGS)
    def test_it_is_found(self, booked: SqliteLedger, tampering: str) -> None:
        for trigger in ("legal_transition", "attempt_unchanged"):
            booked.connection.raw.execute(f"DROP TRIGGER {trigger}")
        assert booked.connection.raw.execute(TAMPERINGS[tampering]).rowcount > 0
        assert booked.reader.integrity_faults()

    def test_an_index_that_lies_is_found(self, booked: SqliteLedger, folder: Path) -> None:
        booked.connection.raw.execute("PRAGMA writable_schema = ON")
        booked.connection.raw.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, '''in_doubt''', '''failed''')"
            " WHERE name = 'item_in_doubt'"
        )
        with closing(connect_read_only(ledger_path(folder))) as connection:
            assert "item_in_doubt" in integrity_faults(connection)[0]

    def test_after_a_kill_it_is_found_at_the_next_opening(
        self, booked: SqliteLedger, place: SqlitePlace
    ) -> None:
        booked.connection.raw.execute("DELETE FROM row WHERE row = 6")
        killed = place.after_kill()
        with pytest.raises(LedgerFailed, match="damaged"), open_ledger(killed.folder):
            pass
