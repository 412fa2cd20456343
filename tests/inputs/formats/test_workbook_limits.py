"""A workbook that would take too much memory is refused before it is opened."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Iterable

import pytest

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.formats import workbook_limits
from bulk_unenroll.inputs.formats.workbook_limits import check_workbook

SHEET = "xl/worksheets/sheet1.xml"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
SMALL_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types">'
    f'<Override PartName="/xl/workbook.xml" ContentType="{TYPE}.sheet.main+xml"/>'
    f'<Override PartName="/{SHEET}" ContentType="{TYPE}.worksheet+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1"'
    f' Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
    '<sheet name="S" sheetId="1" r:id="r1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship'
    f' Id="r1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}


def workbook(rows: Iterable[str] | str, more: dict[str, bytes] | None = None) -> io.BytesIO:
    """A workbook with these rows, as XML."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in SMALL_PARTS.items():
            archive.writestr(name, text)
        for name, content in (more or {}).items():
            archive.writestr(name, content)
        with archive.open(SHEET, "w") as sheet:
            sheet.write(f'<worksheet xmlns="{MAIN}"><sheetData>'.encode())
            for row in [rows] if isinstance(rows, str) else rows:
                sheet.write(row.encode())
            sheet.write(b"</sheetData></worksheet>")
    return out


def cell(place: str) -> str:
    return f'<row r="1"><c r="{place}"><v>1</v></c></row>'


class TestArea:
    """Two cells far apart make the library fill all that is between them."""

    @pytest.mark.parametrize(
        "far",
        [
            '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
            '<row r="2"><c s="1" r="XFD1048576"><v>1</v></c></row>',
            "<row r='2'><c\n r\t= 'xfd1048576'><v>1</v></c></row>",
            f"<row r='2'><c {' ' * 3_000_000}r{' ' * 3_000_000}='XFD1048576'><v>1</v></c></row>",
            '<row r="1048576"><c><v>1</v></c>' + "<c/>" * 16383 + "<c><v>1</v></c></row>",
            '<row r="1048576"/><row>' + "<c><v>1</v></c>" * 16384 + "</row>",
            '<x:row r="1048576"><x:c><x:v>1</x:v></x:c>' + "<x:c/>" * 9000 + "</x:row>",
            '<row r="1048576">' + "<c s='7'><v>1</v></c>" * 70_000 + "</row>",
        ],
        ids=["usual", "later", "other quotes", "blanks", "none", "no row", "prefix", "blocks"],
    )
    def test_far_places_are_seen_however_they_are_written(
        self, far: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(workbook_limits, "TIMES_PACKED", 10**9)
        with pytest.raises(InputRefused, match="too much memory"):
            check_workbook(workbook(cell("A1") + far))

    @pytest.mark.parametrize("place", ["B1048576", "XFD9", "T500000"])
    def test_places_that_leave_room_are_fine(self, place: str) -> None:
        check_workbook(workbook(cell("A1") + cell(place)))

    def test_cells_without_places_are_fine(self) -> None:
        row = "<row><c><v>1</v></c><c><v>2</v></c></row>"
        check_workbook(workbook(row for _ in range(5000)))


class TestSize:
    def test_what_unpacks_to_very_much_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = workbook(f"<row r='{n}'>{random.random()}</row>" for n in range(1, 5000))
        check_workbook(made)
        monkeypatch.setattr(workbook_limits, "UNPACKED_BYTES", 100_000)
        with pytest.raises(InputRefused, match=r"unpacks to more than 100,000 bytes"):
            check_workbook(made)

    def test_what_unpacks_to_200_times_as_much_is_refused(self) -> None:
        with pytest.raises(InputRefused, match="unpacks to more than"):
            check_workbook(workbook(cell("A1"), {"xl/media/a.bin": bytes(2_000_000)}))

    def test_the_directory_of_the_archive_is_not_believed(self) -> None:
        made = workbook(cell("A1"), {"xl/media/a.bin": bytes(2_000_000)})
        content = made.getvalue().replace(struct.pack("<L", 2_000_000), struct.pack("<L", 7))
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.getinfo("xl/media/a.bin").file_size == 7
        with pytest.raises(InputRefused, match="unpacks to more than"):
            check_workbook(io.BytesIO(content))

    @pytest.mark.parametrize("part", ["content.xml", "xl/workbook.bin"])
    def test_a_workbook_of_another_kind_is_refused(self, part: str) -> None:
        """Its cells may be repeated by a number."""
        with pytest.raises(InputRefused, match="of another kind"):
            check_workbook(workbook(cell("A1"), {part: b"x"}))

    def test_a_file_that_is_no_archive(self) -> None:
        with pytest.raises(InputRefused, match="not a readable workbook"):
            check_workbook(io.BytesIO(b"PK\x03\x04 and so on"))
