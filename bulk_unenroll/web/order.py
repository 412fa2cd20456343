"""How a job is read and where its calls go: a form checked, and the words of a command. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bulk_unenroll.inputs.ids import parse_id
from bulk_unenroll.inputs.mapping import addresses, is_added
from bulk_unenroll.model import Invalid
from bulk_unenroll.option_values import parse_rate, parse_time_of_day
from bulk_unenroll.web.config import Destination
from bulk_unenroll.web.jobs import REHEARSAL

COLUMN: Final = "column:"
ROW_DIGITS: Final = 10
IDS: Final = {
    "customerId": "Customer id",
    "targetGroupId": "Target group id",
    "targetId": "Target id",
    "orgId": "Org",
}
ENCODINGS: Final = {
    "utf-8": "UTF-8",
    "cp1252": "Windows, Western Europe (cp1252)",
    "iso8859-1": "Latin-1 (ISO 8859-1)",
    "iso8859-15": "Latin-9 (ISO 8859-15)",
    "cp1250": "Windows, Central Europe (cp1250)",
    "cp1251": "Windows, Cyrillic (cp1251)",
    "cp1253": "Windows, Greek (cp1253)",
    "cp1254": "Windows, Turkish (cp1254)",
    "mac-roman": "Mac, Western Europe",
    "shift_jis": "Japanese (Shift JIS)",
    "gb18030": "Chinese (GB 18030)",
    "utf-16-le": "UTF-16, little-endian",
    "utf-16-be": "UTF-16, big-endian",
}
"""What the text of a file may be written in, and what a person calls it."""
CONSTANTS: Final = {
    "targetGroupId": "--target-group-id",
    "targetId": "--target-id",
    "orgId": "--data-scope-org",
}
Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """How the input is read."""

    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, int] = field(default_factory=dict)
    sheet: str = ""
    header_row: str = ""
    encoding: str = ""

    def of_results(self) -> Reading:
        """How rows of this program's own ``failed.csv`` are read, which keeps the columns."""
        return Reading(self.columns, self.constants)

    def words(self) -> Iterator[str]:
        """The options of a command."""
        for name, header in self.columns.items():
            yield from ("--column", f"{name}={header}")
        for name, value in self.constants.items():
            yield from (CONSTANTS[name], str(value))
        if self.sheet:
            yield from ("--sheet", self.sheet)
        if self.header_row:
            yield from ("--header-row", self.header_row)
        if self.encoding:
            yield from ("--encoding", self.encoding)

    def as_json(self) -> dict[str, Any]:
        """As ``job.json`` has it."""
        return {
            "columns": dict(self.columns),
            "constants": dict(self.constants),
            "sheet": self.sheet,
            "header_row": self.header_row,
            "encoding": self.encoding,
        }


@dataclass(frozen=True, slots=True)
class Order:
    """A form that says how to read and where to send; ``errors`` by the field that is wrong."""

    reading: Reading
    destination: str
    rate: str
    stop_at: str
    errors: Mapping[str, str]


def look_of(form: Form) -> Reading:
    """The sheet, the row of the header and the encoding, which are chosen before the columns."""
    row, encoding = form.get("header_row", "").strip(), form.get("encoding", "")
    return Reading(
        sheet=form.get("sheet", ""),
        header_row="" if wrong_row(form) else row,
        encoding=encoding if encoding in ENCODINGS else "",
    )


def wrong_row(form: Form) -> str:
    """What is wrong with the row of the header; "" if nothing is."""
    row = form.get("header_row", "").strip()
    is_row = row.isascii() and row.isdecimal() and len(row) < ROW_DIGITS and int(row) > 0
    return "" if is_row or not row else "Type the number of a row, such as 3, or leave it empty."


def order_of(form: Form, destinations: Mapping[str, Destination]) -> Order:
    """Check a form."""
    chosen = {name: _chosen(name, form) for name in IDS}
    columns = {name: one for name, one in chosen.items() if isinstance(one, str)}
    errors = {name: one.why for name, one in chosen.items() if isinstance(one, _Wrong)}
    for name, header in columns.items():
        if list(columns.values()).count(header) > 1:
            errors[name] = f"{IDS[name]}: this column is chosen twice."
    if why := wrong_row(form):
        errors["header_row"] = why
    look = look_of(form)
    destination = form.get("destination", "")
    if destination != REHEARSAL and destination not in destinations:
        errors["destination"] = "Choose where the calls go."
    rate, stop_at = f"{form.get('rate', '').strip()}/min", form.get("stop_at", "").strip()
    errors |= _wrong_pace(rate, stop_at, destinations.get(destination))
    constants = {name: one for name, one in chosen.items() if isinstance(one, int)}
    reading = Reading(columns, constants, look.sheet, look.header_row, look.encoding)
    return Order(reading, destination, rate, stop_at, errors)


@dataclass(frozen=True, slots=True)
class _Wrong:
    why: str


def _chosen(name: str, form: Form) -> str | int | _Wrong | None:
    """The header of the column, or the number for all rows, that a form gives for an id."""
    label, chosen, typed = IDS[name], form.get(name, ""), form.get(f"{name}-all", "").strip()
    if chosen.removeprefix(COLUMN) and chosen.startswith(COLUMN):
        both = _Wrong(f"{label}: choose a column or type a number, not both.")
        return both if typed else chosen.removeprefix(COLUMN)
    if name == "customerId":
        return _Wrong("Choose the column that holds the customers' ids.")
    if typed:
        value = parse_id(typed)
        return _Wrong(f"{label}: {value.message}.") if isinstance(value, Invalid) else value
    needed = _Wrong(f"{label}: choose a column, or type the number for all rows.")
    return None if name == "orgId" else needed


def _wrong_pace(
    rate: str, stop_at: str, destination: Destination | None
) -> Iterator[tuple[str, str]]:
    try:
        asked = parse_rate(rate)
    except ValueError:
        yield "rate", "Type how many calls a minute, such as 100."
    else:
        if destination and asked.per_s > destination.most.per_s:
            most = destination.most.per_s * 60
            yield "rate", f"{destination.name} takes at most {most:,.0f} calls a minute."
    if stop_at:
        try:
            parse_time_of_day(stop_at)
        except ValueError:
            yield "stop_at", "Type a time such as 22:30, or leave it empty."


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a form offers: its place, the value of its choice, and what it is called."""

    place: int
    value: str
    label: str


def offered(header: Sequence[str]) -> list[Column]:
    """The columns that can hold ids; of those that this program added, none."""
    return [
        Column(place, f"{COLUMN}{address}", _label(place, header[place], address))
        for place, address in enumerate(addresses(header))
        if address and not is_added(header[place])
    ]


def _label(place: int, header: str, address: str) -> str:
    if address == header:
        return f"column “{header}”"
    return f"column “{header}” ({address})" if header.strip() else address


def headings_of(header: Sequence[str]) -> list[str]:
    """What stands above the first rows; a column without a name is called by its place."""
    return [
        name if name.strip() else at for name, at in zip(header, addresses(header), strict=True)
    ]


def read_as(facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """How a file is read, and when its calls stop: what was chosen, in words."""
    reading = reading_of(facts)
    found = [(IDS[name], f"“{header}”") for name, header in reading.columns.items()]
    found += [(IDS[name], f"{value} for every row") for name, value in reading.constants.items()]
    found += [("Sheet", reading.sheet)] * bool(reading.sheet)
    found += [("Header", f"row {reading.header_row}")] * bool(reading.header_row)
    found += [("Text", ENCODINGS.get(reading.encoding, ""))] * bool(reading.encoding)
    stop_at = facts.get("stop_at")
    return found + [("Stops at", f"{stop_at}, on the clock of this server")] * bool(stop_at)


def shown_plan(plan: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """What a person who confirms has seen: a plan, how fast its calls go, and when they stop."""
    return " ".join((plan["id"], facts["rate"], facts.get("stop_at", ""))).strip()


def better_row(found: Mapping[str, Any]) -> int | None:
    """The row that is probably the header, where the first one is none: peek says so, or a title.

    ``found``: as ``peek --json`` has it.
    """
    if any(map(is_added, found["header"])):  # of results: no answer in them is a header
        return None
    options = list((found["problem"] or {}).get("options", []))
    if "--header-row" in options:
        return int(options[options.index("--header-row") + 1])
    if sum(map(bool, map(str.strip, found["header"]))) != 1:
        return None
    wide = (row for row in found["rows"] if sum(map(bool, map(str.strip, row["cells"]))) > 1)
    row = next(wide, None)
    return None if row is None else row["line"]


def reading_of(facts: Mapping[str, Any]) -> Reading:
    """How the input of a job is read."""
    return Reading(**facts.get("reading", {}))


def words_of(facts: Mapping[str, Any], destination: Destination | None) -> list[str]:
    """The options with which every command reads the file of these facts."""
    words = [facts["file"], "--out", "../run", *reading_of(facts).words()]
    if facts.get("mended"):  # what could not be mended may stay: its columns are known to be right
        words += ["--max-invalid", "100%"]
    for never in destination.never if destination else ():
        words += ["--never", str(never)]
    return words
