"""What follows from an answer, as a value."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bulk_unenroll.capillary.calls import Fault, Loss, Reply
from bulk_unenroll.capillary.codes import Reach
from bulk_unenroll.capillary.verdicts import Block, Halt, InDoubt, Retry, Settle, Unauthorised
from bulk_unenroll.model import Attempt, Call, Enrollment, Entry, State, Target
from bulk_unenroll.sending.landing import Flight, Landing, land
from tests.sending.scripted import LOST, REFUSED, Answer, error, http, sending, success

AT_S = 1_700_000_000.0
CALL = Call(7, Enrollment(423789336, Target(None, 1001, 2001)))
FLIGHT = Flight(CALL, False, started_s=12.0, sent_at_s=AT_S - 0.5, generation=1, last_token=False)
TIMED_OUT = Fault(Loss.UNANSWERED, "timeout", "no answer within 75 s")
UNTRUSTED = Fault(Loss.UNTRUSTED, "certificate", "wrong host name")


def landed(answer: Answer, flight: Flight = FLIGHT) -> Landing:
    return land(
        flight,
        answer,
        at_s=AT_S,
        dice=0.5,
        settings=sending(max_attempts=3),
        redact=lambda text: text and text.replace("secret", "***"),
    )


def test_a_success_is_settled_and_recorded_with_its_times() -> None:
    found = landed(replace(success(423789336), request_id="r-1"))
    assert found.verdict == Settle(State.SUCCEEDED, None, None)
    assert found.decision.state is State.SUCCEEDED
    attempt = Attempt(AT_S - 0.5, AT_S, "succeeded", http_status=200, request_id="r-1")
    assert found.entry == Entry(CALL, State.SUCCEEDED, attempt)


def test_an_answer_that_names_somebody_else_is_marked() -> None:
    assert landed(success(1)).entry.mismatch


@pytest.mark.parametrize("answer", [LOST, TIMED_OUT], ids=["lost", "timed out"])
def test_an_unanswered_call_has_no_time_of_answer(answer: Answer) -> None:
    found = landed(answer)
    assert isinstance(found.verdict, InDoubt)
    assert found.entry.state is State.IN_DOUBT
    assert found.entry.attempt
    assert found.entry.attempt.answered_at_s is None


@pytest.mark.parametrize("answer", [REFUSED, UNTRUSTED], ids=["refused", "untrusted"])
def test_what_never_left_is_no_attempt(answer: Answer) -> None:
    assert landed(answer).entry == Entry(CALL, State.PENDING, not_before_s=AT_S)


def test_what_is_sent_again_waits_for_as_long_as_was_decided() -> None:
    found = landed(http(429, "30"))
    assert found.decision.wait_s == 30
    assert found.entry.not_before_s == AT_S + 30


def test_what_is_not_sent_again_has_no_time_for_it() -> None:
    spent = replace(FLIGHT, call=replace(CALL, tries=2))
    assert landed(http(429, "30"), spent).entry.not_before_s is None


def test_an_unknown_target_blocks_it() -> None:
    found = landed(error(310018))
    assert found.verdict == Block(Reach.TARGET, "310018", "about 310018")
    assert found.entry.state is State.BLOCKED


def test_a_refused_token_may_be_replaced_but_not_the_last_one() -> None:
    assert isinstance(landed(http(401)).verdict, Unauthorised)
    found = landed(http(401), replace(FLIGHT, last_token=True))
    assert found.verdict == Halt(Reach.RUN, "http_401", "HTTP 401", credentials=True)
    assert not found.entry.charged


def test_secrets_that_a_server_repeats_are_recorded_nowhere() -> None:
    body = b'{"errors": [{"code": "secret-1", "message": "the secret is out"}]}'
    found = landed(Reply(400, body, request_id="secret-2"))
    assert "secret" not in str(replace(found, answer=LOST))


class TestHeldBack:
    def test_a_longer_wait_takes_the_place_of_the_decided_one(self) -> None:
        found = landed(http(429, "30")).held_back(40.0)
        assert found.decision.wait_s == 40
        assert found.entry.not_before_s == AT_S + 40

    def test_a_shorter_one_does_not(self) -> None:
        found = landed(http(429, "30"))
        assert found.held_back(20.0) == found

    def test_what_is_not_sent_again_is_not_held_back(self) -> None:
        found = landed(success(423789336))
        assert found.held_back(40.0) == found


@pytest.mark.parametrize(
    ("answer", "overloaded", "shows_latency"),
    [
        (success(423789336), False, True),
        (error(310011), False, True),
        (http(500), False, True),
        (http(429), True, True),
        (http(503), True, True),
        (http(503, "5"), True, True),
        (TIMED_OUT, False, True),
        (LOST, False, False),
        (REFUSED, False, False),
        (UNTRUSTED, False, False),
    ],
)
def test_what_an_adaptive_rate_learns_of_it(
    answer: Answer, overloaded: bool, shows_latency: bool
) -> None:
    found = landed(answer)
    assert (found.overloaded, found.shows_latency) == (overloaded, shows_latency)


def test_a_retry_for_all_calls_is_overload_whatever_the_status() -> None:
    found = replace(landed(LOST), verdict=Retry("busy", "m", everyone=True))
    assert found.overloaded
