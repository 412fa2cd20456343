"""What spreadsheets, people and other scripts do to an id: one file for each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.proof.file_cases.case import (
    GROUP,
    HEADER,
    ROW_A,
    TARGET,
    A,
    B,
    C,
    Case,
    Rows,
    table,
)

NO_IDS: Final = (
    ("exponent", "4.2E+08", "exponent"),
    ("exponent, decimal comma", '"4,2E+08"', "exponent"),
    ("exponent without a point", "4e8", "exponent"),
    ("decimal point", "423789337.0", "decimal_point"),
    ("decimal point at the end", "423789337.", "decimal_point"),
    ("decimal comma", '"423789337,0"', "not_digits"),
    ("thousands, comma", '"423,789,337"', "thousands"),
    ("thousands, point", "423.789.337", "thousands"),
    ("thousands, apostrophe", "423'789'337", "thousands"),
    ("thousands, no-break space", "423\u00a0789\u00a0337", "thousands"),
    ("thousands, space", "423 789 337", "thousands"),
    ("leading apostrophe", "'423789337", "not_digits"),
    ("leading zeros", "000423789337", "leading_zero"),
    ("formula of a text", '="423789337"', "not_digits"),
    ("formula of a text, as Excel writes it", '"=""423789337"""', "not_digits"),
    ("formula", "=423789337", "not_digits"),
    ("formula with a plus", "+423789337", "sign"),
    ("date", "2026-01-02", "not_digits"),
    ("date with slashes", "01/02/2026", "not_digits"),
    ("time", "04:23:37", "not_digits"),
    ("currency", "€423789337", "not_digits"),
    ("percent", "423789337%", "not_digits"),
    ("accountants' minus", "(423789337)", "not_digits"),
    ("#N/A", "#N/A", "not_digits"),
    ("#REF!", "#REF!", "not_digits"),
    ("#########", "#########", "not_digits"),
    ("TRUE", "TRUE", "not_digits"),
    ("NULL", "NULL", "not_digits"),
    ("NaN", "nan", "not_digits"),
    ("infinity", "inf", "not_digits"),
    ("None", "None", "not_digits"),
    ("a dash for nothing", "-", "sign"),
    ("no-break space after", "423789337\u00a0", "not_digits"),
    ("zero-width space", "423\u200b789337", "not_digits"),
    ("right-to-left mark", "\u200f423789337", "not_digits"),
    ("right-to-left override", "\u202e733987324", "not_digits"),
    ("word joiner", "423789337\u2060", "not_digits"),
    ("soft hyphen", "423\u00ad789337", "not_digits"),
    ("ideographic space", "\u3000423789337", "not_digits"),
    ("combining mark", "423789337\u0301", "not_digits"),
    ("Arabic-Indic digits", "٤٢٣٧٨٩٣٣٧", "other_digits"),
    ("Persian digits", "۴۲۳۷۸۹۳۳۷", "other_digits"),
    ("Devanagari digits", "४२३७८९३३७", "other_digits"),
    ("fullwidth digits", "４２３７８９３３７", "other_digits"),
    ("mathematical digits", "𝟒𝟐𝟑𝟕𝟖𝟗𝟑𝟑𝟕", "other_digits"),
    ("one digit of another script", "42378933７", "other_digits"),
    ("superscript", "42378933⁷", "not_digits"),
    ("circled digits", "④②③", "not_digits"),
    ("Chinese numerals", "四二三", "not_digits"),
    ("letter O for zero", "1O1", "not_digits"),
    ("letter l for one", "l01", "not_digits"),
    ("plus", "+5", "sign"),
    ("minus", "-423789337", "sign"),
    ("typographic minus", "\u2212423789337", "sign"),
    ("underscores", "423_789_337", "underscore"),
    ("hexadecimal", "0x1942BA79", "not_digits"),
    ("octal", "0o17", "not_digits"),
    ("zero", "0", "zero"),
    ("zeros", "000", "leading_zero"),
    ("2^63", "9223372036854775808", "too_large"),
    ("20 digits", "10000000000000000000", "too_large"),
    ("blank", "", "blank"),
    ("blank in quotes", '"  "', "blank"),
    ("two ids", "423789337;423789338", "not_digits"),
    ("two ids, space", "423789337 423789338", "not_digits"),
    ("phone number", "+49 170 1234567", "not_digits"),
    ("vertical tab", "423789337\x0b", "not_digits"),
    ("escape sequence", "\x1b[2J423789337", "not_digits"),
    ("e-mail", "423789337@example.com", "not_digits"),
)


def no_ids() -> Iterator[Case]:
    for name, cell, code in NO_IDS:
        shown = cell.strip('"').replace('""', '"').replace('"', '\\"')
        words = (shown,) if shown.isprintable() else ()
        yield Case(name, table(A, cell, C), Rows((A, C), {2: (code, "customerId", *words)}))


def other_columns() -> Iterator[Case]:
    for name, line, column in (
        ("group", f"{B},1001.0,{TARGET}", "targetGroupId"),
        ("target", f"{B},{GROUP},2001.0", "targetId"),
    ):
        damaged = HEADER + ROW_A + line + "\n"
        yield Case(f"damaged {name}", damaged.encode(), Rows((A,), {2: ("decimal_point", column)}))
    for name, cell, code in (
        ("blank", "", "blank"),
        ("in small letters", "self", "not_digits"),
        ("zero", "0", "zero"),
        ("ALL", "ALL", "not_digits"),
    ):
        rows = f"{A},{GROUP},{TARGET},SELF\n{B},{GROUP},{TARGET},{cell}\n"
        content = (HEADER[:-1] + ",orgId\n" + rows).encode()
        yield Case(f"org {name}", content, Rows((A,), {2: (code, "orgId", f'"{cell}"')}))


def ids() -> Iterator[Case]:
    largest = 9223372036854775807
    for name, cell, customer in (
        ("one digit", "7", 7),
        ("2^63 - 1", f"{largest}", largest),
        ("beyond 2^53", "9007199254740993", 9007199254740993),
        ("spaces and tabs around", f" \t{B} \t", B),
        ("spaces in quotes", f'"  {B}  "', B),
        ("ten digits", "4237893370", 4237893370),
    ):
        yield Case(f"good: {name}", table(A, cell), Rows((A, customer)))
    same = table(A, f" {A}", f'"{A}"', f"{A}\t")
    yield Case("the same id written otherwise", same, Rows((A,), {}, (2, 3, 4)))


CASES: Final = (*no_ids(), *other_columns(), *ids())
