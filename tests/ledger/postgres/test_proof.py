"""A ledger notices when somebody cooks its books, and refuses what its tables can refuse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from bulk_unenroll.errors import LedgerFailed
from bulk_unenroll.ledger.opening import prove
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.model import State
from tests.ledger.kit import BAD_ID, answer, begin, claim, confirmed, keys, turn, unanswered, unsent
from tests.ledger.postgres.kit import PostgresPlace, tool


@pytest.fixture
def ledger(place: PostgresPlace) -> Iterator[PostgresLedger]:
    """A ledger that is not proven after the test: it will be tampered with."""
    with closing(place.open()) as made:
        yield made


OF = "item = (SELECT id FROM item WHERE customer_id = {})"
INVENTED = "INSERT INTO outcome SELECT id, target, {}, '{}', false, false FROM item"
TAMPERINGS = {
    "a failure called a success": f"UPDATE outcome SET state = 'succeeded' WHERE {OF.format(2)}",
    "a success called a failure": f"UPDATE outcome SET state = 'failed' WHERE {OF.format(1)}",
    "a success to be called again": f"DELETE FROM outcome WHERE {OF.format(1)}",
    "a success called blocked": f"UPDATE outcome SET state = 'blocked' WHERE {OF.format(1)}",
    "a success called not enrolled":
        f"UPDATE outcome SET state = 'not_enrolled' WHERE {OF.format(1)}",
    "an untried one called a success":
        f"{INVENTED.format(0, 'succeeded')} WHERE customer_id = 5",
    "an untried one called a failure": f"{INVENTED.format(0, 'failed')} WHERE customer_id = 6",
    "an untried one called in doubt": f"UPDATE agenda SET doubtful = true WHERE {OF.format(5)}",
    "a tried one called withdrawn": f"UPDATE outcome SET state = 'withdrawn' WHERE {OF.format(2)}",
    "a doubt called pending": f"UPDATE agenda SET doubtful = false WHERE {OF.format(3)}",
    "a doubt forgotten": f"DELETE FROM agenda WHERE {OF.format(3)}",
    "a review called a failure": f"UPDATE outcome SET state = 'failed' WHERE {OF.format(4)}",
    "two states at once": f"{INVENTED.format(0, 'failed')} WHERE customer_id = 5",
    "a state of nobody": "UPDATE outcome SET item = 99 WHERE state = 'failed'",
    "a state of another target": "UPDATE outcome SET target = 99 WHERE state = 'failed'",
    "attempts added": f"UPDATE outcome SET attempts = attempts + 1 WHERE {OF.format(2)}",
    "attempts taken away": f"UPDATE outcome SET attempts = 0 WHERE {OF.format(1)}",
    "an attempt deleted": f"DELETE FROM attempt WHERE {OF.format(1)}",
    "an attempt invented": "INSERT INTO attempt (item, attempt, run, sent_at, outcome)"
    " SELECT id, 1, 1, 0, 'succeeded' FROM item WHERE customer_id = 5",
    "an attempt of nobody": "UPDATE attempt SET item = 99 WHERE outcome = 'failed'",
    "an attempt's outcome changed": f"UPDATE attempt SET outcome = 'failed' WHERE {OF.format(1)}",
    "an attempt renumbered": f"UPDATE attempt SET attempt = 7 WHERE {OF.format(1)}",
    "the last row deleted": "DELETE FROM row WHERE row = 9",
    "a row in the middle deleted": "DELETE FROM row WHERE row = 7",
    "a repeated row deleted": "DELETE FROM item WHERE customer_id = 1",
    "an invalid row deleted": "DELETE FROM row WHERE row = 8",
    "a row added": "INSERT INTO row (source, row) VALUES (1, 10)",
    "a row renumbered": "UPDATE row SET row = 99 WHERE row = 9",
    "a row given to nobody": "UPDATE row SET item = 99 WHERE row = 7",
    "a duplicate called another's": "UPDATE row SET repeats = 2 WHERE row = 7",
    "a duplicate called a first row": "UPDATE row SET repeats = NULL WHERE row = 7",
    "a row that is there twice": "UPDATE row SET row = 5 WHERE row = 7",
    "the rows as they were deleted": "DELETE FROM chunk",
    "the rows as they were renumbered": "UPDATE chunk SET row_count = row_count - 1",
    "the share of a target changed": "UPDATE share SET items = items + 1",
    "the row count changed": "UPDATE source SET row_count = row_count - 1",
    "a customer deleted": "DELETE FROM item WHERE customer_id = 6",
    "a customer added": "INSERT INTO item (id, target, customer_id) VALUES (10, 1, 99)",
    "a customer passed over": (
        "INSERT INTO slice (run, kind, after_place, last_place, done, all_tried)"
        " SELECT 1, 'fresh', 0, max(id), true, true FROM item"
    ),
    "a target deleted": "DELETE FROM target",
    "a run deleted": "DELETE FROM run",
}  # fmt: skip


@pytest.fixture
def booked(ledger: PostgresLedger) -> PostgresLedger:
    """Six customers, each in another state, a duplicate and invalid rows."""
    confirmed(ledger, [*keys(1, 2, 3, 4, 5, 6, 1), BAD_ID, BAD_ID])
    begin(ledger)
    one, two, three, four, five = claim(ledger, 5)
    turn(
        ledger,
        answer(one),
        answer(two, State.FAILED, code="310011"),
        unanswered(three),
        answer(four, State.REVIEW, code="no_data"),
        unsent(five),
    )
    return ledger


def test_an_honest_ledger_has_no_faults(booked: PostgresLedger) -> None:
    assert booked.reader.integrity_faults() == []
    assert booked.reader.conservation_faults() == []


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_tampering_is_found(booked: PostgresLedger, place: PostgresPlace, tampering: str) -> None:
    with tool(place) as other:
        other.execute("SET session_replication_role = replica")  # no trigger fires
        other.execute("ALTER TABLE outcome DROP CONSTRAINT outcome_state_check")
        assert other.execute(TAMPERINGS[tampering]).rowcount > 0
    assert booked.reader.integrity_faults()
    with pytest.raises(LedgerFailed, match="damaged"):
        prove(booked.reader)


REFUSED = {
    "an attempt is changed": "UPDATE attempt SET outcome = 'failed'",
    "an outcome is changed": "UPDATE outcome SET state = 'failed'",
    "a success is taken back": "DELETE FROM outcome WHERE state = 'succeeded'",
    "an outcome that is none": INVENTED.format(0, "sending") + " WHERE customer_id = 6",
    "a state that is none": INVENTED.format(0, "done") + " WHERE customer_id = 6",
    "a customer is there twice": "INSERT INTO item SELECT id + 100, customer_id, target FROM item",
    "a call is settled twice": INVENTED.format(1, "failed") + " WHERE customer_id = 1",
}


@pytest.mark.usefixtures("booked")
@pytest.mark.parametrize("tampering", REFUSED)
def test_the_tables_refuse(place: PostgresPlace, tampering: str) -> None:
    with tool(place) as other, pytest.raises(psycopg.Error):
        other.execute(REFUSED[tampering])
