"""The verdict for every code of the table, and for answers without such a code."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulk_unenroll.capillary.calls import Fault, Loss, Reply, body, path, scope_headers
from bulk_unenroll.capillary.codes import CODES, WORDS, Reach, advice
from bulk_unenroll.capillary.judge import judge
from bulk_unenroll.capillary.verdicts import (
    Block,
    Halt,
    InDoubt,
    Retry,
    Settle,
    Unauthorised,
    Unsent,
    Verdict,
)
from bulk_unenroll.model import State, Target

CUSTOMER = 423789336
NOW_S = 1_700_000_000.0


def answered(status: int, document: object = None, **more: object) -> Verdict:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    return judge(Reply(status, content, **more), CUSTOMER, NOW_S)  # type: ignore[arg-type]


def errors(*codes: object, data: object = None) -> dict[str, object]:
    listed = [{"code": code, "message": f"about {code}"} for code in codes]
    return {"data": data, "errors": listed, "warnings": None}


SUCCESS = {"data": CUSTOMER, "errors": None, "warnings": None}
HTML = b"<html><h1>Bad Gateway</h1></html>"


def test_the_request_is_the_sample_on_the_vendor_s_page() -> None:
    assert path(Target(None, 1001, 2001)) == "/targetGroups/1001/targets/2001/unEnroll"
    assert json.loads(body(CUSTOMER)) == [{"customerId": CUSTOMER}]


@pytest.mark.parametrize(
    ("org", "headers"),
    [(None, {}), (7, {"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": "7"})],
)
def test_scope_headers_are_sent_only_for_another_org(org: int | None, headers: object) -> None:
    assert scope_headers(org) == headers


class TestSuccess:
    @pytest.mark.parametrize("status", [200, 201, 202, 299])
    @pytest.mark.parametrize("listed", [None, []])
    def test_data_and_no_errors(self, status: int, listed: object) -> None:
        verdict = answered(status, {"data": CUSTOMER, "errors": listed})
        assert verdict == Settle(State.SUCCEEDED, None, None)

    def test_another_customer_in_data_is_a_mismatch_but_no_failure(self) -> None:
        verdict = answered(200, {"data": 345651201, "errors": None})
        message = "the answer names customer 345651201"
        assert verdict == Settle(State.SUCCEEDED, None, message, mismatch=True)

    def test_the_customer_in_data_may_be_text(self) -> None:
        verdict = answered(200, {"data": str(CUSTOMER), "errors": None})
        assert verdict == Settle(State.SUCCEEDED, None, None, mismatch=False)


class TestEncodings:
    """JSON is UTF-8; some gateways write it otherwise."""

    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-32"]
    )
    def test_an_answer_keeps_its_code(self, encoding: str) -> None:
        document = {"data": None, "errors": [{"code": 310013, "message": "ya est\u00e1 fuera"}]}
        content = json.dumps(document, ensure_ascii=False).encode(encoding)
        plain = answered(200, document)
        assert answered(200, content) == plain
        assert "est\u00e1" in str(plain)

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
    def test_a_success_is_one(self, encoding: str) -> None:
        content = json.dumps({**SUCCESS, "warnings": "\u00e1"}, ensure_ascii=False).encode(encoding)
        assert answered(200, content) == answered(200, SUCCESS)

    @pytest.mark.parametrize("content", [b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b'{"data": 4\xff'])
    def test_what_is_no_json_gives_no_success(self, content: bytes) -> None:
        assert isinstance(answered(200, content), InDoubt | Settle)
        assert answered(200, content) != answered(200, SUCCESS)


class TestReview:
    @pytest.mark.parametrize(
        "document",
        [{"data": None, "errors": None}, {"data": None}, {}, errors("999999", data=CUSTOMER)],
    )
    def test_neither_success_nor_a_known_error(self, document: object) -> None:
        verdict = answered(200, document)
        assert isinstance(verdict, Settle)
        assert verdict.state is State.REVIEW

    def test_204(self) -> None:
        verdict = answered(204, b"")
        assert verdict == Settle(State.REVIEW, "http_204", "HTTP 204: an answer without content")

    @pytest.mark.parametrize("status", [200, 302, 400, 404, 405, 415, 422])
    @pytest.mark.parametrize("code", ["310119", 777777, "E_NEW"])
    def test_310119_and_unknown_codes_are_kept_unchanged(self, status: int, code: object) -> None:
        verdict = answered(status, errors(code))
        assert verdict == Settle(State.REVIEW, str(code), f"about {code}")

    @pytest.mark.parametrize("listed", [[{"code": None, "message": "m"}], [{}], ["m"], "m", {}, 3])
    def test_a_bad_status_counts_more_than_an_error_without_a_code(self, listed: object) -> None:
        verdict = answered(200, {"data": CUSTOMER, "errors": listed})
        assert isinstance(verdict, Settle)
        assert (verdict.state, verdict.code) == (State.REVIEW, "no_code")
        verdict = answered(400, {"data": None, "errors": listed})
        assert isinstance(verdict, Settle)
        assert (verdict.state, verdict.code) == (State.FAILED, "http_400")
        assert isinstance(answered(404, {"errors": listed}), Halt)


class TestKnownCodes:
    @pytest.mark.parametrize("status", [200, 400, 404, 500])
    @pytest.mark.parametrize("kind", [int, str])
    @pytest.mark.parametrize("code", [310011, 310019, 300004])
    def test_row_codes_fail_whatever_the_status(self, status: int, kind: type, code: int) -> None:
        assert answered(status, errors(kind(code))) == Settle(
            State.FAILED, str(code), f"about {code}"
        )

    def test_not_enrolled(self) -> None:
        verdict = answered(200, errors(310149))
        assert verdict == Settle(State.NOT_ENROLLED, "310149", "about 310149")

    @pytest.mark.parametrize(("code", "scope"), [(310018, Reach.TARGET), (310017, Reach.GROUP)])
    def test_blocking_codes(self, code: int, scope: Reach) -> None:
        assert answered(200, errors(code)) == Block(scope, str(code), f"about {code}")

    @pytest.mark.parametrize("code", [310141, 310144])
    def test_scope_codes_halt_the_org(self, code: int) -> None:
        assert answered(200, errors(code)) == Halt(Reach.ORG, str(code), f"about {code}")

    @pytest.mark.parametrize("code", [4000, 320001, 403])
    def test_denied_halts_the_run(self, code: int) -> None:
        verdict = answered(200, errors(code))
        assert verdict == Halt(Reach.RUN, str(code), f"about {code}", credentials=True)

    @pytest.mark.parametrize("code", [401, 498])
    def test_refused_tokens(self, code: int) -> None:
        assert answered(200, errors(code)) == Unauthorised(str(code), f"about {code}")

    @pytest.mark.parametrize("code", [521, 4001])
    def test_certainly_not_applied(self, code: int) -> None:
        verdict = answered(200, errors(code))
        assert verdict == Retry(str(code), f"about {code}", everyone=False)

    def test_the_code_with_the_widest_reach_decides_and_of_equals_the_first(self) -> None:
        verdict = answered(200, errors(310011, 310018, 310017, 310019))
        assert isinstance(verdict, Block)
        assert verdict.reach is Reach.GROUP
        verdict = answered(200, errors(310017, 310144))
        assert isinstance(verdict, Halt)
        verdict = answered(200, errors(310019, 310011))
        assert isinstance(verdict, Settle)
        assert verdict.code == "310019"

    def test_a_known_code_counts_even_if_there_is_data(self) -> None:
        verdict = answered(200, errors(310011, data=CUSTOMER))
        assert isinstance(verdict, Settle)
        assert verdict.state is State.FAILED

    def test_the_other_envelopes(self) -> None:
        nested = {"response": {"status": {"success": "true", "code": 401, "message": "no"}}}
        assert answered(200, nested) == Unauthorised("401", "no")
        flat = {"errorCode": 4000, "errorMessage": "denied"}
        assert answered(200, flat) == Halt(Reach.RUN, "4000", "denied", credentials=True)

    @pytest.mark.parametrize("code", sorted(CODES))
    def test_every_code_has_advice(self, code: str) -> None:
        assert advice(code)


class TestStatus:
    @pytest.mark.parametrize("status", [401, 498])
    @pytest.mark.parametrize("document", [HTML, {}, errors("888888")])
    def test_unauthorised(self, status: int, document: object) -> None:
        assert isinstance(answered(status, document), Unauthorised)

    @pytest.mark.parametrize("document", [HTML, {}, errors("888888")])
    def test_denied(self, document: object) -> None:
        verdict = answered(403, document)
        assert isinstance(verdict, Halt)
        assert verdict.credentials

    @pytest.mark.parametrize("document", [HTML, {}, errors("888888")])
    def test_too_many(self, document: object) -> None:
        verdict = answered(429, document, retry_after=("7",))
        assert isinstance(verdict, Retry)
        assert verdict.everyone
        assert verdict.retry_after_s == 7

    def test_unavailable_with_and_without_retry_after(self) -> None:
        verdict = answered(503, HTML, retry_after=("7",))
        assert isinstance(verdict, Retry)
        assert verdict.everyone
        assert answered(503, HTML) == InDoubt("http_503", "HTTP 503")

    def test_authorisation_service_down_pauses_everyone(self) -> None:
        verdict = answered(503, errors(4001))
        assert isinstance(verdict, Retry)
        assert verdict.everyone

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 404, 405, 415])
    def test_wrong_host_or_prefix(self, status: int) -> None:
        verdict = answered(status, HTML)
        assert isinstance(verdict, Halt)
        assert verdict.reach is Reach.RUN
        assert not verdict.credentials

    @pytest.mark.parametrize("status", [400, 402, 409, 410, 413, 422, 451])
    def test_other_refusals_fail_the_row(self, status: int) -> None:
        verdict = answered(status, HTML)
        assert isinstance(verdict, Settle)
        assert (verdict.state, verdict.code) == (State.FAILED, f"http_{status}")

    @pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 520, 524, 599])
    @pytest.mark.parametrize("document", [HTML, {}, SUCCESS, errors("888888")])
    def test_server_errors_are_in_doubt(self, status: int, document: object) -> None:
        verdict = answered(status, document)
        assert isinstance(verdict, InDoubt)
        assert verdict.code == f"http_{status}"

    @pytest.mark.parametrize("content", [b"", HTML, b"{", b"[]", b"3", b'"x"', b"null", b"\xff"])
    def test_a_2xx_that_cannot_be_read_is_in_doubt(self, content: bytes) -> None:
        verdict = answered(200, content)
        assert isinstance(verdict, InDoubt)
        assert verdict.code == "unreadable"


class TestNesting:
    """orjson reads 1,023 levels and writes 254."""

    @pytest.mark.parametrize("levels", [250, 260, 1000, 1022, 5000])
    @pytest.mark.parametrize(
        "where",
        [
            b'{"data": %s, "errors": null}',
            b'{"errors": [%s]}',
            b'{"errors": [{"code": 7, "message": %s}]}',
            b'{"errors": [{"code": %s}]}',
            b'{"response": {"status": {"code": %s}}}',
        ],
    )
    def test_deep_nesting_gets_a_verdict(self, where: bytes, levels: int) -> None:
        verdict = answered(200, where % (b"[" * levels + b"]" * levels))
        assert isinstance(verdict, Settle | InDoubt)


class TestTransport:
    def test_a_fault_is_judged_by_its_loss(self) -> None:
        assert judge(Fault(Loss.UNSENT, "unreachable", "m"), 1, 0) == Unsent("unreachable", "m")
        assert judge(Fault(Loss.UNANSWERED, "timeout", "m"), 1, 0) == InDoubt("timeout", "m")
        verdict = judge(Fault(Loss.UNTRUSTED, "certificate", "m"), 1, 0)
        assert verdict == Halt(Reach.RUN, "certificate", "m", left=False)


@given(
    status=st.integers(100, 999),
    content=st.one_of(
        st.binary(max_size=60),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "data",
                            "errors",
                            "code",
                            "message",
                            "response",
                            "status",
                            "errorCode",
                            "errorMessage",
                        ]
                    ),
                    inner,
                )
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
    ),
    retry_after=st.lists(st.text(max_size=30), max_size=2).map(tuple),
)
def test_every_answer_gets_a_verdict_and_only_data_gives_success(
    status: int, content: bytes, retry_after: tuple[str, ...]
) -> None:
    verdict = judge(Reply(status, content, retry_after=retry_after), CUSTOMER, NOW_S)
    if isinstance(verdict, Settle) and verdict.state is State.SUCCEEDED:
        document = json.loads(content)
        assert 200 <= status < 300
        assert document["data"] is not None
        assert document.get("errors") in (None, [])


LEADS_TO = {
    Halt: "stops the run",
    Unauthorised: "stops the run",
    Settle: "failed",
    InDoubt: "in_doubt",
    Retry: "failed after the last attempt",
}


@pytest.mark.parametrize("status", [*range(300, 600)])
def test_the_code_table_explains_every_status(status: int) -> None:
    verdict = answered(status, HTML)
    word = WORDS.get(f"http_{status}") or WORDS[f"http_{status // 100}xx"]
    if status not in (498, 503):  # 498 is a code of the table; 503 depends on Retry-After
        assert word.leads_to == LEADS_TO[type(verdict)], verdict
