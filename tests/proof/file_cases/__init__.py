"""Malformed and unusual input files, each under a name, with what must come of it."""

from __future__ import annotations

from typing import Final

from tests.proof.file_cases import archives, cells, parquets, places, tables, texts
from tests.proof.file_cases.case import Case

CASES: Final[tuple[Case, ...]] = (
    *texts.CASES,
    *cells.CASES,
    *archives.CASES,
    *parquets.CASES,
    *places.CASES,
    *tables.CASES,
)
