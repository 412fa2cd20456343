"""What is a valid id, and why everything else is not."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulk_unenroll.inputs.ids import parse_id
from bulk_unenroll.model import MAX_ID, Invalid


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1", 1),
        ("423789336", 423789336),
        (" \t423789336\t ", 423789336),
        ("9223372036854775807", MAX_ID),
        ("1000000000000000000", 10**18),
        ("999999999999999999", 999999999999999999),
        (7, 7),
        (MAX_ID, MAX_ID),
        (Decimal("12"), 12),
        (Decimal("12.00"), 12),
        (Decimal("1E+3"), 1000),
        (Decimal(MAX_ID), MAX_ID),
    ],
)
def test_valid_ids(cell: object, number: int) -> None:
    assert parse_id(cell) == number


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("", "blank"),
        ("   ", "blank"),
        ("\t", "blank"),
        ("\n", "blank"),
        ("0", "zero"),
        ("00", "leading_zero"),
        ("0423789336", "leading_zero"),
        ("-5", "sign"),
        ("+5", "sign"),
        ("4.2E+08", "exponent"),
        ("4,2E+08", "exponent"),
        ("4e8", "exponent"),
        ("423789336.0", "decimal_point"),
        ("423789336.", "decimal_point"),
        ("423,789,336", "thousands"),
        ("423.789.336", "thousands"),
        ("423 789 336", "thousands"),
        ("423'789'336", "thousands"),
        ("423\u00a0789\u00a0336", "thousands"),
        ("1_000", "underscore"),
        ("٤٢٣", "other_digits"),
        ("４２３", "other_digits"),
        ("4２3", "other_digits"),
        ("1٢", "other_digits"),
        ("1²", "not_digits"),
        ("²", "not_digits"),
        ("9223372036854775808", "too_large"),
        ("99999999999999999999", "too_large"),
        ("'423789336", "not_digits"),
        ('"423789336"', "not_digits"),
        ("=423789336", "not_digits"),
        ("42 37", "not_digits"),
        ("0x1F", "not_digits"),
        ("1e", "not_digits"),
        ("NaN", "not_digits"),
        ("NULL", "not_digits"),
        ("TRUE", "not_digits"),
        ("#REF!", "not_digits"),
        ("423789336\n", "not_digits"),
        ("423\x00", "not_digits"),
        ("\ufeff423", "not_digits"),
        ("\u200b423", "not_digits"),
        ("\u00a0423", "not_digits"),
        ("1423789336.5", "decimal_point"),
        ("423789336,0", "not_digits"),
        ("\u2212423", "sign"),
        ("-4.2E+08", "sign"),
        ("7\n8,9", "not_digits"),
        (None, "null"),
        (True, "wrong_type"),
        (1.0, "wrong_type"),
        (float("nan"), "wrong_type"),
        (b"12", "wrong_type"),
        (0, "zero"),
        (-3, "sign"),
        (MAX_ID + 1, "too_large"),
        (2**64 - 1, "too_large"),
        (Decimal("1.5"), "decimal_point"),
        (Decimal("NaN"), "decimal_point"),
        (Decimal("-Infinity"), "decimal_point"),
        (Decimal("123456789012345678901234567890.5"), "decimal_point"),
        (Decimal(MAX_ID) + 1, "too_large"),
        (10**70, "too_large"),
    ],
)
def test_invalid_ids(cell: object, code: str) -> None:
    found = parse_id(cell)
    assert isinstance(found, Invalid)
    assert found.code == code
    assert found.message.isprintable()
    assert len(found.message) < 200


@given(st.text())
@example("1_0")
@example("१२३")
@example("1\n")
def test_an_id_is_in_the_cell_in_exactly_its_digits(cell: str) -> None:
    found = parse_id(cell)
    plain = re.fullmatch(r"[ \t]*([1-9][0-9]{0,18})[ \t]*", cell, re.ASCII)
    if plain and int(plain[1]) <= MAX_ID:
        assert found == int(plain[1])
    else:
        assert isinstance(found, Invalid)


@given(st.from_regex(r"[ \t]*[0-9+\-.,eE_ ']{1,22}[ \t]*", fullmatch=True))
def test_no_number_is_guessed(cell: str) -> None:
    found = parse_id(cell)
    if isinstance(found, int):
        assert str(found) == cell.strip(" \t")
