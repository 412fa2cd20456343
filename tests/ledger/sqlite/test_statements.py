"""The SQL files: each statement is asked for, and by the modules that it is written for."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from bulk_unenroll.ledger import sqlite
from bulk_unenroll.ledger.sqlite.statements import FILES, SQL

HERE = Path(str(files(sqlite)))
MODULES = {path.stem: path.read_text("utf-8") for path in HERE.glob("*.py")}
del MODULES["statements"]
for shared in ("conservation", "reader", "results"):
    MODULES[f"ledger.{shared}"] = (HERE.parent / f"{shared}.py").read_text("utf-8")
ASKERS = {
    "schema": {"file", "connection", "sources", "loading", "seal"},
    "views": {"file", "seal"},
    "loading": {"loading", "sources"},
    "claims": {"claims", "recording", "ledger"},
    "reader": {"ledger.reader", "ledger.results", "reader", "connection", "file"},
    "report": {"ledger.reader"},
    "proof": {"proof", "ledger.conservation"},
    "moving": {"moving"},
}


def statements_of(file: str) -> list[str]:
    return re.findall(r"^-- name: (\w+)$", (HERE / f"{file}.sql").read_text("utf-8"), re.MULTILINE)


def askers_of(statement: str) -> set[str]:
    named = re.compile(rf"""["']{statement}["']""")
    return {module for module, text in MODULES.items() if named.search(text)}


def test_every_file_is_read_and_no_name_is_there_twice() -> None:
    assert {path.stem for path in HERE.glob("*.sql")} == set(FILES) == set(ASKERS)
    assert sorted(name for file in FILES for name in statements_of(file)) == sorted(SQL)


@pytest.mark.parametrize(
    ("file", "statement"), [(file, name) for file in FILES for name in statements_of(file)]
)
def test_a_statement_is_asked_for_by_those_it_is_written_for(file: str, statement: str) -> None:
    askers = askers_of(statement)
    assert askers
    assert askers <= ASKERS[file]


def test_how_source_and_row_are_packed_is_written_once() -> None:
    packing = re.compile(r"(<<|>>|&) *(40|0x)", re.IGNORECASE)
    found = {path.name for path in HERE.glob("*.sql") if packing.search(path.read_text("utf-8"))}
    assert not found
    assert not [name for name, text in SQL.items() if "{" in text]
