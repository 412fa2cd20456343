"""Encodings, quotes, ragged rows, line ends, headers and delimiters."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Final

from tests.proof.file_cases.case import (
    GROUP,
    HEADER,
    ROW_A,
    ROW_B,
    ROW_C,
    SCOPE,
    TARGET,
    WIDE,
    A,
    B,
    C,
    Case,
    Refused,
    Rows,
    Words,
    table,
)

ACCENTS: Final = WIDE + f"{A},{GROUP},{TARGET},Zoë\n{B},{GROUP},{TARGET},b\n"
GOOD: Final = HEADER + ROW_A + ROW_B
BOTH: Final = Rows((A, B))


def row(customer: object, name: str) -> str:
    return f"{customer},{GROUP},{TARGET},{name}\n"


def encodings() -> Iterator[Case]:
    for name, encoding in (
        ("UTF-8", "utf-8"),
        ("UTF-8 with BOM", "utf-8-sig"),
        ("UTF-16 LE with BOM", "utf-16"),
    ):
        yield Case(name, ACCENTS.encode(encoding), BOTH)
    big = codecs.BOM_UTF16_BE + ACCENTS.encode("utf-16-be")
    yield Case("UTF-16 BE with BOM", big, BOTH)
    quoted = '\ufeff"customerId","targetGroupId","targetId"\n' + ROW_A
    yield Case("BOM before a quoted header", quoted.encode(), Rows((A,)))
    for order in ("le", "be"):
        bare = ACCENTS.encode(f"utf-16-{order}")
        hint = f"--encoding utf-16-{order}"
        yield Case(f"UTF-16 {order} without BOM", bare, Refused(("UTF-16", "BOM", hint)))
        given = ("--encoding", f"utf-16-{order}")
        yield Case(f"UTF-16 {order} without BOM, named", bare, BOTH, options=given)
    utf_16 = ACCENTS.encode("utf-16")
    end = f"byte {len(utf_16)} "
    yield Case("UTF-16 cut in a character", utf_16 + b"4", Refused((end, "line 4", "UTF-16")))
    yield Case("UTF-16, lone surrogate", utf_16 + b"\0\xdc7\0", Refused((end, "line 4")))
    utf_32 = ACCENTS.encode("utf-32")
    yield Case("UTF-32", utf_32, Refused(("UTF-32", "--encoding utf-32")))
    yield Case("UTF-32, named", utf_32, BOTH, options=("--encoding", "utf-32"))
    yield from _single_bytes()
    yield from _bad_utf_8()
    yield from _nuls()
    yield Case("unknown encoding", GOOD.encode(), _refused("klingon"), options=_named("klingon"))
    yield Case(
        "encoding that hides digits", GOOD.encode(), _refused("utf-7"), options=_named("utf-7")
    )
    lying = ACCENTS.encode("utf-8-sig")
    yield Case(
        "encoding against the BOM", lying, _refused("BOM", "UTF-8"), options=_named("cp1252")
    )
    joined = (HEADER + ROW_A + "\ufeff" + HEADER + ROW_B).encode()
    yield Case(
        "two files joined", joined, Rows((A, B), {2: ("second_header", "stands here again")})
    )
    breaks = WIDE + row(A, "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg") + row("x", "")
    verdict = Rows((A,), {2: ("not_digits", "customerId", '"x"')})
    yield Case("other scripts' line breaks end no row", breaks.encode(), verdict)


def _named(encoding: str) -> Words:
    return "--encoding", encoding


def _refused(*says: str) -> Refused:
    return Refused(says)


def _single_bytes() -> Iterator[Case]:
    at = f"byte {ACCENTS.index('ë')} "
    latin = ACCENTS.encode("latin-1")
    yield Case("Latin-1", latin, Refused((at, "0xeb", "line 2", "UTF-8", "--encoding")))
    yield Case("Latin-1, named", latin, BOTH, options=_named("latin-1"))
    windows = ACCENTS.replace("ë", "€").encode("cp1252")
    yield Case("Windows-1252", windows, Refused((at, "0x80", "line 2", "--encoding")))
    yield Case("Windows-1252, named", windows, BOTH, options=_named("cp1252"))
    undefined = windows.replace(b"\x80", b"\x81")
    verdict = Refused((at, "0x81", "line 2", "CP1252"))
    yield Case("a byte that Windows-1252 has not", undefined, verdict, options=_named("cp1252"))
    mixed = ACCENTS.encode() + row(C, "Zoë").encode("latin-1")
    at = f"byte {len(mixed) - 2} "
    yield Case("UTF-8, then Latin-1", mixed, Refused((at, "0xeb", "line 4")))


def _bad_utf_8() -> Iterator[Case]:
    header = b"customerId,targetGroupId,targetId,n\xffme\n"
    yield Case("bad byte in the header", header, Refused((f"byte {header.index(0xFF)} ", "line 1")))
    many = table(*range(1, 7)) + b"7,1001,2001\xfe\n8,1001,2001\n"
    verdict = Refused((f"byte {many.index(0xFE)} ", "0xfe", "line 8"))
    yield Case("bad byte in row 7", many, verdict)
    many = table(*range(1, 90_001)) + b"\xfe\n"
    verdict = Refused((f"byte {len(many) - 2} ", "line 90002"))
    yield Case("bad byte in row 90,001", many, verdict)
    cut = GOOD.encode() + "ë".encode()[:1]
    yield Case("last byte begins a character", cut, Refused((f"byte {len(cut) - 1} ", "line 4")))
    for name, bad in (
        ("overlong digit", b"\xc0\xb7"),
        ("lone surrogate", b"\xed\xa0\x80"),
        ("beyond Unicode", b"\xf5\x80\x80\x80"),
    ):
        verdict = Refused((f"byte {len(GOOD)} ", f"0x{bad[0]:02x}", "line 4"))
        yield Case(f"UTF-8, {name}", GOOD.encode() + bad + b",1001,2001\n", verdict)


def _nuls() -> Iterator[Case]:
    for name, content, reason in (
        ("an id", row("7\0", "x"), ("nul", "customerId", "7\\u0000")),
        ("another column", row(7, "x\0y"), ("nul", "name", "x\\u0000y")),
        ("a field beyond the header", row(7, "x,\0"), ("nul", "field 5", "\\u0000")),
    ):
        content = WIDE + row(A, "a") + content + row(C, "c")
        yield Case(f"NUL in {name}", content.encode(), Rows((A, C), {2: reason}))
    yield Case("NUL in the header", (WIDE[:-2] + "\0\n").encode(), Refused(("NUL", "header")))
    yield Case("NULs only", bytes(5000), Refused(("UTF-16",)))
    holes = (HEADER + ROW_A).encode() + bytes(4096) + b"\n" + ROW_B.encode()
    yield Case("a hole of NULs", holes, Rows((A, B), {2: ("nul", "customerId")}))
    pasted = (HEADER + ROW_A).encode() + ROW_B.encode("utf-16-le")
    verdict = Rows((A,), {2: ("nul", "customerId"), 3: ("nul", "customerId")})
    yield Case("UTF-16 pasted into UTF-8", pasted, verdict)


def quotes() -> Iterator[Case]:
    def wide(name: str, rows: str, verdict: Rows | Refused) -> Case:
        return Case(name, (WIDE + rows).encode(), verdict)

    open_ = row(A, "a") + row(B, '"b') + row(C, "c") * 20
    yield wide("quote that never closes", open_, Refused(("row 2", "line 3", "never closed")))
    yield wide("quote open at the end", row(A, "a") + f'{B},{GROUP},{TARGET},"b', _refused("row 2"))
    yield wide("id whose quote is open", row(A, "a") + f'"{B}', _refused("row 2", "line 3"))
    many = "".join(row(n, "a") for n in range(1, 90_001)) + row(B, '"b') + row(C, "c")
    yield wide("quote that never closes, late", many, Refused(("row 90001", "line 90002")))
    late = row(A, "a") + row(B, '"b') + row(C, 'c"c')
    yield wide("quote that closes too late", late, Refused(("row 2", "line 3")))
    odd = row(A, '"a"b,"c') + row(B, 'd"')
    yield wide("damaged quotes, then an open one", odd, Refused(("row 1", "line 2")))
    open_header = b'"customerId,targetGroupId,targetId\n' + ROW_A.encode()
    yield Case("header whose quote is open", open_header, Refused(("header", "quote")))
    yield wide("everything quoted", f'"{A}","{GROUP}","{TARGET}","a"\n', Rows((A,)))
    yield wide("doubled quotes", row(A, '"a ""b"" c"') + row(B, '""'), BOTH)
    yield wide("quote in the middle of a cell", row(A, '5" disk') + row(B, 'a"b"c'), BOTH)
    yield wide("delimiter in quotes", row(A, '"a, b; c|d"') + row(B, "b"), BOTH)
    broken = row(A, '"one\ntwo\r\nthree\rfour"') + row("x", "") + row(C, "c")
    reason = {2: ("not_digits", "customerId", '"x"')}
    yield wide("line breaks in quotes are one row", broken, Rows((A, C), reason))
    inside = row(A, f'"\n{B},{GROUP},{TARGET},b\n"')
    yield wide("a row inside a quoted text is text", inside, Rows((A,)))
    damaged: tuple[tuple[str, str, Words], ...] = (
        ("after a space", f' "{B}"', ("not_digits", "customerId", str(B))),
        ("before more text", f'"{B}"9', ("malformed_quotes", str(B))),
        ("with a line break in the id", f'"{B}\n"', ("not_digits", "customerId", "line break")),
        ("of an apostrophe", f"'{B}'", ("not_digits", "customerId", str(B))),
        ("of a typographer", f"“{B}”", ("not_digits", "customerId", str(B))),
    )
    for name, cell, words in damaged:
        rows = row(A, "a") + row(cell, "b") + row(C, "c")
        yield wide(f"quote {name}", rows, Rows((A, C), {2: words}))
    escaped = row(A, "a") + row(B, '"b \\" b"') + row(C, "c")
    yield wide("backslash before a quote", escaped, Rows((A, C), {2: ("malformed_quotes", "b \\")}))


def ragged() -> Iterator[Case]:
    counts = "the header 3"
    ragged: tuple[tuple[str, str, Words], ...] = (
        ("short row", f"{B},{GROUP}", ("missing_fields", "targetId", str(GROUP), counts)),
        ("one field", f"{B}", ("missing_fields", "targetGroupId", str(B), counts)),
        ("long row", f"{B},{GROUP},{TARGET},x,y", ("extra_fields", "targetId", '"x"', counts)),
        ("trailing delimiter", f"{B},{GROUP},{TARGET},", ("extra_fields", "targetId", '""')),
        ("unquoted thousands", f"423,789,337,{GROUP},{TARGET}", ("extra_fields", '"1001"')),
        ("spaces only", "   ", ("missing_fields", "targetGroupId", '"   "')),
        ("tabs only", "\t\t", ("missing_fields", "targetGroupId", "\\t")),
        ("DOS end of file", "\x1a", ("missing_fields", "targetGroupId", "\\u001a")),
        ("header in the middle", HEADER.strip(), ("second_header", "the header stands here again")),
        ("total at the end", "Total,2,", ("not_digits", "customerId", '"Total"')),
    )
    for name, line, reason in ragged:
        content = HEADER + ROW_A + line + "\n" + ROW_C
        yield Case(name, content.encode(), Rows((A, C), {2: reason}))
    trailing = (HEADER + ROW_A + ROW_B).replace("\n", ",\n")
    yield Case("trailing delimiter in every line", trailing.encode(), BOTH)
    rows = (ROW_A + ROW_B).replace("\n", ",\n")
    reasons = dict.fromkeys((1, 2), ("extra_fields", "targetId", '""', counts))
    yield Case("trailing delimiter but in the header", (HEADER + rows).encode(), Rows((), reasons))
    twice = (HEADER + ROW_A + ROW_B + ROW_A + ROW_A).encode()
    yield Case("rows that repeat", twice, Rows((A, B), {}, (3, 4)))


def lines() -> Iterator[Case]:
    for name, end in (("LF", "\n"), ("CRLF", "\r\n"), ("CR", "\r"), ("CR CR LF", "\r\r\n")):
        yield Case(f"lines ending in {name}", GOOD.replace("\n", end).encode(), BOTH)
    mixed = HEADER + ROW_A[:-1] + "\r" + ROW_B[:-1] + "\r\n" + ROW_C
    yield Case("mixed line ends", mixed.encode(), Rows((A, B, C)))
    yield Case("no final line end", GOOD[:-1].encode(), BOTH)
    yield Case("no final line end, CR", GOOD.replace("\n", "\r")[:-1].encode(), BOTH)
    commas = "\n,,,\n" + HEADER + ",,\n" + ROW_A + ',"",\n,\n' + ROW_B + ",,,,\n,,"
    yield Case("lines of empty cells", commas.encode(), BOTH)
    blank = "\n\r\n" + HEADER + "\n\n" + ROW_A + "\r\n" + ROW_B + "\n\n\n"
    yield Case("empty lines", blank.encode(), BOTH)
    yield Case("header only", HEADER.encode(), Rows(()))
    yield Case("header only, no line end", HEADER[:-1].encode(), Rows(()))


def headers() -> Iterator[Case]:
    def file(name: str, head: str, verdict: Rows | Refused, rows: str = ROW_A + ROW_B) -> Case:
        return Case(name, (head + "\n" + rows).encode(), verdict)

    yield Case("empty file", b"", Refused(("empty", "header")))
    yield Case("BOM only", codecs.BOM_UTF8, Refused(("empty", "header")))
    yield Case("UTF-16 BOM only", codecs.BOM_UTF16_LE, Refused(("empty", "header")))
    yield Case("empty lines only", b"\n\r\n\n", Refused(("empty", "header")))
    yield Case("no header", (ROW_A + ROW_B).encode(), Refused(("no header", str(A))))
    title = _refused("customerId", "May", "--header-row 2")
    yield file("title above the header", "Customers of May", title, GOOD)
    titled = ("Customers of May;\n;\n" + GOOD.replace(",", ";")).encode()
    yield Case("title, named", titled, BOTH, options=("--header-row", "3"))
    yield Case(
        "title, another row named", titled, _refused("no header"), options=("--header-row", "2")
    )
    yield Case("Excel's separator line", ("sep=,\n" + GOOD).encode(), BOTH)
    tricked = "sep=;\ncustomerId;targetGroupId;targetId;a,b,c,d\n" + f"{A};{GROUP};{TARGET};,,,\n"
    yield Case("another separator than there is more of", tricked.encode(), Rows((A,)))
    two = "customerId,targetGroupId,targetId,customerId"
    yield file("id column twice", two, _refused("customerId", "two columns"))
    two = "customerId,targetGroupId,targetId, Customer_ID "
    yield file("id columns that differ in case", two, _refused("two columns", "Customer_ID"))
    two = "customerId,userId,targetGroupId,targetId"
    yield file("both names of the customer", two, _refused("customerId", "userId"))
    two = "customerId,targetGroupId,targetId,targetRuleId"
    yield file("both names of the target", two, _refused("targetId", "targetRuleId"))
    for missing in ("customerId", "targetGroupId", "targetId"):
        head = HEADER.strip().replace(missing, "note")
        yield file(f"no column {missing}", head, _refused(missing, '"note"', "--column"))
    yield file("aliases", "userId,targetGroupId,targetRuleId", BOTH)
    yield file("case and spaces", " CUSTOMER ID ,target-group-id,Target_Id", BOTH)
    yield file("quoted header", '"customerId","targetGroupId","targetId"', BOTH)
    yield file("header of formulas", '=1+1,"=cmd|x!A1",targetId', _refused("customerId"))
    unknown = "customerId,targetGroupId,targetId,name,name,\n"
    rows = f"{A},{GROUP},{TARGET},x,y,z\n"
    yield Case("unknown and repeated columns", (unknown + rows).encode(), Rows((A,)))
    failed = "unenroll_row,customerId,targetGroupId,targetId,unenroll_status,unenroll_customerId\n"
    rows = f"9,{A},{GROUP},{TARGET},failed,7\n"
    job = ("--out", "job.unenroll")  # the folder whose results they are
    yield Case("failed.csv", (failed + rows).encode(), Rows((A,)), options=job)
    only = b"unenroll_customerId,targetGroupId,targetId\n1,2,3\n"
    yield Case("id only in a column of ours", only, _refused("customerId"), options=job)
    gone = ("--column", "customerId=Member")
    yield Case("mapped header not there", GOOD.encode(), _refused("Member"), options=gone)
    both = ("--target-id", "5")
    yield Case("column and option", GOOD.encode(), _refused("--target-id"), options=both)
    one = f"customerId\n{A}\n\n \n{B}\n".encode()
    verdict = Rows((A, B), {2: ("blank", "customerId", '" "')})
    yield Case("one column", one, verdict, options=SCOPE)
    yield from _large()


def _large() -> Iterator[Case]:
    more = "".join(f",c{n}" for n in range(10_000))
    content = HEADER[:-1] + more + "\n" + (ROW_A[:-1] + "," * 10_000 + "\n") * 2
    yield Case("10,000 columns", content.encode(), Rows((A,), {}, (2,)))
    more = "".join(f",c{n:09}" for n in range(100_000))
    yield Case("1 MB header", (HEADER[:-1] + more + "\n").encode(), Rows(()))
    short = Rows((), {1: ("missing_fields", "c000000000", "the header 100003")})
    yield Case("1 MB header, short row", (HEADER[:-1] + more + "\n" + ROW_A).encode(), short)
    field = WIDE + row(A, "a") + row(B, "x" * 10_000_000) + row(C, "c")
    yield Case("10 MB field", field.encode(), Refused(("line 3",)))
    field = WIDE + row(A, "a") + row(B, '"' + "x\n" * 5_000_000 + '"') + row(C, "c")
    yield Case("10 MB field of many lines", field.encode(), Refused(("row 2", "line 3")))
    field = WIDE + row(A, "a") + row("4" * 1_000_000, "b") + row(C, "c")
    verdict = Rows((A, C), {2: ("too_large", "customerId", "4444")})
    yield Case("id of a million digits", field.encode(), verdict)
    head = HEADER[:-1] + "," + "x" * 10_000_000 + "\n"
    yield Case("10 MB name of a column", head.encode(), Refused(("line 1",)))
    head = HEADER[:-1] + "," + "x" * 2_000_000 + "\n"
    yield Case("2 MB name of a column", head.encode(), Refused(("header",)))


def delimiters() -> Iterator[Case]:
    for name, delimiter in (("semicolon", ";"), ("tab", "\t"), ("pipe", "|")):
        yield Case(f"{name}s", GOOD.replace(",", delimiter).encode(), BOTH)
    decimals = "customerId;targetGroupId;targetId;a,b;c|d\n" + f"{A};{GROUP};{TARGET};1,5;2|5\n"
    yield Case("other delimiters in the header", decimals.encode(), Rows((A,)))
    mixed = f"customerId;targetGroupId,targetId\n{A};{GROUP},{TARGET}\n"
    yield Case("two delimiters in the header", mixed.encode(), Refused(("found",)))
    rows = HEADER + ROW_A + ROW_B.replace(",", ";")
    reason = {2: ("missing_fields", "targetGroupId", f"{B};{GROUP};{TARGET}")}
    yield Case("another delimiter in one row", rows.encode(), Rows((A,), reason))
    spaces = GOOD.replace(",", " ").encode()
    yield Case("spaces between columns", spaces, _refused("customerId", "targetGroupId"))
    named = GOOD.replace(",", "^").encode()
    yield Case("any delimiter, named", named, BOTH, options=("--delimiter", "^"))
    yield Case(
        "wrong delimiter, named", GOOD.encode(), _refused("found"), options=("--delimiter", ";")
    )
    no = Refused(("delimiter",), 2)
    yield Case("delimiter that is none", GOOD.encode(), no, options=("--delimiter", "ab"))


CASES: Final = (
    *encodings(),
    *quotes(),
    *ragged(),
    *lines(),
    *headers(),
    *delimiters(),
)
