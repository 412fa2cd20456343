"""Strict ids, header matching, and what makes a row invalid."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.errors import InputRefused
from bulk_unenroll.inputs.mapping import ReadSettings
from bulk_unenroll.inputs.rows import CACHED_TARGETS, Mapper
from bulk_unenroll.model import Enrollment, Invalid, Record, Target

HEADER = ("customerId", "targetGroupId", "targetId")


def mapper(*header: str, **reading: object) -> Mapper:
    return Mapper(header or HEADER, ReadSettings(**reading))  # type: ignore[arg-type]


def enrollment_of(made: Mapper, *cells: object) -> Enrollment | Invalid:
    return made.enrollment(Record(1, cells))


class TestHeader:
    @pytest.mark.parametrize(
        "header",
        [
            ("customerId", "targetGroupId", "targetId"),
            ("CUSTOMER_ID", "target-group-id", "Target ID"),
            ("\ufeffcustomerId", " targetgroupid ", "targetRuleId"),
            ("userId", "targetGroupId", "target_rule_id"),
        ],
    )
    def test_case_and_separators_do_not_matter(self, header: tuple[str, ...]) -> None:
        assert enrollment_of(Mapper(header, ReadSettings()), "7", "1", "2") == Enrollment(
            7, Target(None, 1, 2)
        )

    def test_a_mapping_wins_over_a_known_name(self) -> None:
        made = mapper(
            "Member", "userId", "targetGroupId", "targetId", columns=[("customerId", "Member")]
        )
        assert enrollment_of(made, "7", "8", "1", "2") == Enrollment(7, Target(None, 1, 2))

    def test_options_replace_columns(self) -> None:
        assert enrollment_of(
            mapper("customerId", target_group_id=1, target_id=2, data_scope_org=3), "7"
        ) == Enrollment(7, Target(3, 1, 2))

    @pytest.mark.parametrize(
        ("header", "reading", "word"),
        [
            (("customerId", "targetId"), {}, "targetGroupId"),
            (("member", "targetGroupId", "targetId"), {}, "customerId"),
            ((*HEADER, "userId"), {}, "two columns"),
            ((*HEADER, "CUSTOMERID"), {}, "two columns"),
            ((*HEADER, "targetRuleId"), {}, "two columns"),
            (HEADER, {"target_group_id": 5}, "--target-group-id"),
            (HEADER, {"target_id": 5}, "--target-id"),
            ((*HEADER, "orgId"), {"data_scope_org": 5}, "--data-scope-org"),
            (HEADER, {"columns": [("customerId", "Nobody")]}, "does not exist"),
            (("a", "a", "targetGroupId", "targetId"), {"columns": [("customerId", "a")]}, "once"),
            (("423789336", "1001", "2001"), {}, "no header"),
            (("a", "targetId"), {"columns": [("customerId", "a"), ("targetGroupId", "a")]}, "two"),
            (
                ("a", "b", "targetId"),
                {"columns": [("customerId", "a"), ("customerId", "b")]},
                "twice",
            ),
        ],
    )
    def test_headers_that_are_refused(
        self, header: tuple[str, ...], reading: dict[str, object], word: str
    ) -> None:
        with pytest.raises(InputRefused) as refused:
            mapper(*header, **reading)
        assert word in refused.value.reason
        assert refused.value.remedy

    def test_columns_that_this_program_added_are_ignored(self) -> None:
        made = mapper(*HEADER, "note", "unenroll_status", "unenroll_row")
        assert made.kept == (*HEADER, "note")
        cells = ("7", "1", "2", "n", "failed", "3")
        assert made.kept_cells(Record(1, cells)) == ("7", "1", "2", "n")
        assert enrollment_of(made, *cells) == Enrollment(7, Target(None, 1, 2))

    def test_only_columns_with_the_exact_prefix_are_ignored(self) -> None:
        assert mapper(*HEADER, "Unenroll_date", "my unenroll_x").kept[3:] == (
            "Unenroll_date",
            "my unenroll_x",
        )

    def test_a_mapped_column_is_not_used_for_another_id(self) -> None:
        with pytest.raises(InputRefused, match="no column targetId"):
            mapper("targetId", "targetGroupId", columns=[("customerId", "targetId")])

    def test_an_exact_header_wins_over_a_similar_one(self) -> None:
        made = mapper("member no", "Member No", *HEADER[1:], columns=[("customerId", "Member No")])
        assert made.places["customerId"] == 1

    def test_a_column_without_a_name_of_its_own_is_named_by_its_letter(self) -> None:
        header = ("Store", "", "Store", *HEADER[1:])
        for wanted, place in (("column B", 1), ("column C", 2)):
            made = mapper(*header, columns=[("customerId", wanted)])
            assert made.places["customerId"] == place

    @pytest.mark.parametrize("wanted", ["Store", "column D", "column Z", "column E"])
    def test_a_column_with_a_name_is_not(self, wanted: str) -> None:
        with pytest.raises(InputRefused):
            mapper("Store", "", "Store", *HEADER[1:], "", columns=[("customerId", wanted)])

    def test_a_column_of_such_a_name_is_meant_before_one_without(self) -> None:
        made = mapper("column B", "", *HEADER[1:], columns=[("customerId", "column B")])
        assert made.places["customerId"] == 0

    @pytest.mark.parametrize(
        ("columns", "word"),
        [
            ([("customerId", "targetId"), ("targetId", "targetId")], "two ids"),
            ([("customerId", "note"), ("customerId", "")], "twice"),
            ([("customerId", "unenroll_row")], "does not exist"),
            ([("customerId", "")], "does not exist"),
            ([("customerId", " - ")], "does not exist"),
        ],
    )
    def test_mappings_that_are_refused(self, columns: list[tuple[str, str]], word: str) -> None:
        with pytest.raises(InputRefused, match=word):
            mapper(*HEADER, "note", "", "unenroll_row", columns=columns)

    @pytest.mark.parametrize(
        ("header", "remedy"),
        [
            (("Customer No", *HEADER[1:]), '--column customerId="Customer No"'),
            (("Cust`rm`omer Id", *HEADER[1:]), "--column customerId=HEADER"),
            (("x", *HEADER[1:]), "--column customerId=HEADER"),
            (("Milestone Id", "Member Id", *HEADER[1:]), '--column customerId="Member Id"'),
            (("Milestone Id", "n", *HEADER[1:]), "--column customerId=HEADER"),
            # the closest header is that of another id
            (HEADER[:2], "--column targetId=HEADER or --target-id N"),
        ],
    )
    def test_the_remedy_can_be_pasted_into_a_shell(
        self, header: tuple[str, ...], remedy: str
    ) -> None:
        with pytest.raises(InputRefused) as refused:
            mapper(*header)
        assert refused.value.remedy == remedy

    def test_a_header_with_line_breaks_is_refused_in_one_line(self) -> None:
        with pytest.raises(InputRefused) as refused:
            mapper("a\nb\x1b[2J", *(f"column {n}" for n in range(30)))
        assert refused.value.reason.isprintable()
        assert "19 more" in refused.value.reason

    def test_a_first_row_of_data_is_refused_even_if_columns_are_mapped(self) -> None:
        with pytest.raises(InputRefused, match="no header"):
            mapper("7", "1", "2", columns=[("customerId", "Member No")])


class TestRecord:
    def test_orgs(self) -> None:
        made = mapper(*HEADER, "orgId")
        assert enrollment_of(made, "7", "1", "2", "SELF") == Enrollment(7, Target(None, 1, 2))
        assert enrollment_of(made, "7", "1", "2", " 5 ") == Enrollment(7, Target(5, 1, 2))
        for cell in ("", "self", "ALL", "0"):
            assert isinstance(enrollment_of(made, "7", "1", "2", cell), Invalid)

    @pytest.mark.parametrize(
        ("cells", "code"),
        [
            (("7", "1"), "missing_fields"),
            (("7", "1", "2", "3"), "extra_fields"),
            ((), "missing_fields"),
        ],
    )
    def test_ragged_rows(self, cells: tuple[str, ...], code: str) -> None:
        found = enrollment_of(mapper(), *cells)
        assert isinstance(found, Invalid)
        assert found.code == code

    @pytest.mark.parametrize(
        ("cells", "words"),
        [
            (("7", "1"), ['targetId: is missing after "1"', "2 fields, the header 3"]),
            (("7",), ['targetGroupId: is missing after "7"', "1 field, the header 3"]),
            (("7", "1", "2", "x", "y"), ['targetId: is followed by "x"', "5 fields, the header 3"]),
        ],
    )
    def test_the_message_of_a_ragged_row_names_column_and_text(
        self, cells: tuple[str, ...], words: list[str]
    ) -> None:
        found = enrollment_of(mapper(), *cells)
        assert isinstance(found, Invalid)
        assert all(word in found.message for word in words)

    def test_a_long_or_unprintable_header_is_shortened_in_messages(self) -> None:
        for header in ("x" * 10_000, "a\nb", ""):
            found = enrollment_of(mapper(*HEADER, header), "7", "1", "2")
            assert isinstance(found, Invalid)
            assert found.message.isprintable()
            assert len(found.message) < 200
            assert not found.message.startswith(":")

    @pytest.mark.parametrize("cell", [True, 1.0, None])
    def test_a_cell_that_equals_a_cached_id_is_still_checked(self, cell: object) -> None:
        made = mapper()
        for one in (1, "1", Decimal(1)):
            assert enrollment_of(made, "7", one, one) == Enrollment(7, Target(None, 1, 1))
        assert isinstance(enrollment_of(made, "7", cell, 1), Invalid)
        assert isinstance(enrollment_of(made, "7", 1, cell), Invalid)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["7", "8", "x", ""]),
                st.sampled_from(["1", "2", " 1", "1.0", 1, None]),
                st.sampled_from(["1", "2", "01", 2]),
                st.sampled_from(["SELF", "1", "", " SELF", 1]),
            ),
            max_size=30,
        )
    )
    def test_the_cache_of_targets_changes_nothing(self, rows: list[tuple[object, ...]]) -> None:
        made = mapper(*HEADER, "orgId")
        for cells in rows:
            assert enrollment_of(made, *cells) == enrollment_of(mapper(*HEADER, "orgId"), *cells)

    def test_the_cache_of_targets_is_bounded(self) -> None:
        made = mapper()
        for n in range(1, CACHED_TARGETS + 100):
            assert enrollment_of(made, "7", str(n), "2") == Enrollment(7, Target(None, n, 2))
        assert len(made._targets) == CACHED_TARGETS

    def test_nothing_of_a_ragged_or_damaged_row_is_lost(self) -> None:
        made = mapper(*HEADER[:2], "unenroll_row", "targetId")
        flaw = Invalid("malformed_quotes", "")
        for record, kept in (
            (Record(1, ("7", "1")), ("7", "1")),
            (Record(1, ("7", "1", "x", "2", "3", "4")), ("7", "1", "2", "3", "4")),
            (Record(1, ('"7"8,1,x,2',), flaw), ('"7"8,1,x,2',)),
            (Record(1, ("7", "1\0", "x", "2"), flaw), ("7", "1\0", "2")),
        ):
            assert made.kept_cells(record) == kept

    def test_a_damaged_line_is_kept_whatever_the_first_column_is(self) -> None:
        made = mapper("unenroll_row", *HEADER)
        record = Record(1, ('3,"7"8,1,2',), Invalid("malformed_quotes", ""))
        assert made.kept_cells(record) == record.cells

    def test_a_record_with_a_flaw_is_invalid(self) -> None:
        flaw = Invalid("nul", "")
        assert mapper().enrollment(Record(1, ("7", "1", "2"), flaw)) is flaw

    def test_the_message_names_column_and_text(self) -> None:
        made = mapper("Customer No", *HEADER[1:], columns=[("customerId", "Customer No")])
        found = enrollment_of(made, "4.2E+08", "1", "2")
        assert isinstance(found, Invalid)
        assert "Customer No" in found.message
        assert "4.2E+08" in found.message

    def test_a_long_cell_is_cut_in_messages(self) -> None:
        found = enrollment_of(mapper(), "x" * 10_000, "1", "2")
        assert isinstance(found, Invalid)
        assert len(found.message) < 200
