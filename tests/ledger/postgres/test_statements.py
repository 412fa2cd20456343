"""The SQL files: each statement is asked for; the views are those of SQLite."""

from __future__ import annotations

import re
from contextlib import closing
from importlib.resources import files
from pathlib import Path

import pytest

from bulk_unenroll.ledger import postgres
from bulk_unenroll.ledger.postgres.ledger import PostgresLedger
from bulk_unenroll.ledger.postgres.statements import FILES, SCRIPTS, SQL
from bulk_unenroll.model import State
from tests.ledger.kit import NOW_S, begin, claim, confirmed, keys, plan
from tests.ledger.postgres.kit import PostgresPlace, tool
from tests.ledger.sqlite.kit import SqlitePlace

HERE = Path(str(files(postgres)))
MODULES = {path.stem: path.read_text("utf-8") for path in HERE.glob("*.py")}
del MODULES["statements"]
for shared in ("conservation", "reader", "results"):
    MODULES[f"ledger.{shared}"] = (HERE.parent / f"{shared}.py").read_text("utf-8")
ASKERS = {
    "schema": {"job", "loading", "arrivals", "moving"},
    "views": {"job"},
    "loading": {"loading", "sources", "connection", "ledger", "arrivals", "moving"},
    "arrivals": {"arrivals", "reader"},
    "senders": {"senders", "claims", "ledger", "mark", "outage", "stopping"},
    "claims": {"claims", "recording", "ledger"},
    "reader": {"ledger.reader", "ledger.results", "reader", "connection"},
    "report": {"ledger.reader"},
    "proof": {"proof", "ledger.conservation"},
    "moving": {"moving"},
}
KINDS = {"in_line", "fresh", "fresh_known"}
"""Of slices: these statements, and those that claim, are asked for by their names."""


def statements_of(file: str) -> list[str]:
    return re.findall(r"^-- name: (\w+)$", (HERE / f"{file}.sql").read_text("utf-8"), re.MULTILINE)


def test_every_file_is_read_and_no_name_is_there_twice() -> None:
    assert {path.stem for path in HERE.glob("*.sql")} == set(FILES) == set(ASKERS)
    assert sorted(name for file in FILES for name in statements_of(file)) == sorted(SQL)


@pytest.mark.parametrize(
    ("file", "statement"), [(file, name) for file in FILES for name in statements_of(file)]
)
def test_a_statement_is_asked_for_by_those_it_is_written_for(file: str, statement: str) -> None:
    named = re.compile(rf"""["']{statement}["']""")
    askers = {module for module, text in MODULES.items() if named.search(text)}
    if statement.removeprefix("claim_") in KINDS:
        assert f"'{statement.removeprefix('claim_')}'" in SCRIPTS["add_slices"]
        return
    assert askers
    assert askers <= ASKERS[file]


def test_how_source_and_row_are_packed_is_written_once() -> None:
    packing = re.compile(r"(<<|>>|&) *(40|0x)", re.IGNORECASE)
    found = {path.name for path in HERE.glob("*.sql") if packing.search(path.read_text("utf-8"))}
    assert not found
    assert not [name for name, text in SCRIPTS.items() if re.search(r"\{\w", text)]


def test_the_states_are_those_of_the_program(ledger: PostgresLedger, place: PostgresPlace) -> None:
    assert ledger.reader.sources() == []
    with tool(place) as other:
        found = other.execute("SELECT unnest(enum_range(NULL::state))::text").fetchall()
    assert [State(name) for (name,) in found] == list(State)


@pytest.mark.parametrize("view", ["results", "attempt_history"])
def test_the_promised_views_have_the_columns_and_values_of_those_in_sqlite(
    ledger: PostgresLedger, place: PostgresPlace, tmp_path: Path, view: str
) -> None:
    with closing(SqlitePlace(tmp_path / "other").open()) as sqlite:
        for one in (ledger, sqlite):
            confirmed(one, keys(1, 2, 3, 1))
            begin(one, run_id="the-run")
            claim(one, 2)
            plan(one, keys(2, 9), "b.csv")
        query = f"SELECT * FROM {view} ORDER BY 1, 2, 3, 4, 5, 6"
        there = sqlite.connection.raw.execute(query)
        with tool(place) as other:
            here = other.execute(query)
            assert [column.name for column in here.description or ()] == [
                column[0] for column in there.description
            ]
            assert sorted(map(repr, here.fetchall())) == sorted(map(repr, there.fetchall()))


# ── plans ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def misleading(ledger: PostgresLedger, place: PostgresPlace) -> PostgresLedger:
    """A ledger whose statistics say that all but its customers is empty, in the middle of a run."""
    with tool(place) as other:
        other.execute("VACUUM ANALYZE outcome, flight, agenda, attempt, target, row")
    confirmed(ledger, keys(*range(1, 3000)))
    begin(ledger)
    claim(ledger, 1000)
    return ledger


@pytest.mark.parametrize(
    "statement",
    [
        "claim",
        "claim_due",
        "claim_fresh",
        "claim_in_line",
        "next_due",
        "fresh",
        "in_line",
        "settle_blocked",
    ],
)
@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
def test_a_turn_looks_up_by_key_whatever_the_statistics_say(
    misleading: PostgresLedger, statement: str, mode: str
) -> None:
    connection = misleading.connection
    with connection.transaction():
        connection.send("plan_by_index")
        connection.raw.execute("SELECT set_config('plan_cache_mode', %s, true)", [mode])
        values = {
            "sender": 1, "run": 1, "sources": [1], "now": NOW_S, "halted": [], "only": None,
            "most": 10, "after": (1 << 40) + 1000, "last": (1 << 40) + 3000,
        }  # fmt: skip
        text = b"EXPLAIN " + SQL[statement]
        found = connection.raw.execute(text, values).fetchall()
    lines = "\n".join(line for (line,) in found)
    assert "Seq Scan" not in lines
    assert "Hashed" not in lines
    assert "hashed SubPlan" not in lines
    if "fresh" in statement or statement == "claim":
        assert re.search(r"item_place on item.*\n +Index Cond: \(\(id > .*\) AND \(id <= ", lines)
