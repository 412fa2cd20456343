"""The API itself: decides the outcome of a call. No HTTP server, no clock."""

from __future__ import annotations

from typing import NamedTuple

from bulk_unenroll.sandbox import answers
from bulk_unenroll.sandbox.answers import Answer
from bulk_unenroll.sandbox.book import Book, rule_of_test_id
from bulk_unenroll.sandbox.rules import ANSWERING_ACTS, APPLYING_ACTS, Call, Rule, Script
from bulk_unenroll.sandbox.scenario import Scenario

BROKEN_ACTS = frozenset(
    {"reset_before", "reset_after", "silent", "silent_unapplied", "half", "drip"}
)
"""Acts after which no complete answer comes, or only after a long wait."""


class Outcome(NamedTuple):
    """What happens to a call: it is ``applied`` at once, and answered after ``delay_s``.

    ``act`` is that of a rule, or ``refused`` if the call was not admitted.
    """

    act: str
    answer: Answer
    applied: bool = False
    code: int | str | None = None
    delay_s: float = 0.0

    @property
    def seen_as(self) -> int | str:
        """The HTTP status, or the act if no complete answer comes."""
        return self.act if self.act in BROKEN_ACTS else self.answer.status


class Api:
    """Handles admitted calls by the book and the script."""

    def __init__(self, scenario: Scenario) -> None:
        self.book = Book(scenario.book)
        self.script = Script(scenario.rules, scenario.seed)
        self._scenario = scenario
        self._attempts: dict[tuple[int, int, int, int], int] = {}

    def count(self, org: int | None, group: int, target: int, customer: int | None) -> int:
        """Count a call. Return which attempt for its customer/target it is, from 1."""
        if customer is None:
            return 1
        key = (org or 0, group, target, customer)
        self._attempts[key] = attempt = self._attempts.get(key, 0) + 1
        return attempt

    def replace_rules(self, rules: tuple[Rule, ...]) -> None:
        """Use other rules from now on; their counts and random numbers start over."""
        self.script = Script(rules, self._scenario.seed)

    def handle(self, call: Call) -> Outcome:
        """Apply a call if the book and the script allow it. Return what happens to it."""
        code = self._scope_error(call)
        if code is not None or call.customer is None:
            return Outcome("apply", self._failure(code or 300004), code=code or 300004)
        rule = self.script.pick(call)
        delay_s = rule.delay_s if rule else 0.0
        if (rule is None or rule.act == "apply") and self.book.is_test_customer(call.customer):
            rule = rule_of_test_id(call.customer, call)
        if rule is not None and rule.act in ANSWERING_ACTS:
            answer = answers.scripted(rule, self._scenario)
            return Outcome(rule.act, answer, code=rule.code, delay_s=delay_s)
        return self._apply(rule.act if rule else "apply", call, call.customer, delay_s)

    def _apply(self, act: str, call: Call, customer: int, delay_s: float) -> Outcome:
        if act not in APPLYING_ACTS:
            return Outcome(act, Answer(500), delay_s=delay_s)  # never sent
        code = self.book.unenroll((call.org or 0, call.group, call.target, customer))
        answer = answers.success(customer) if code is None else self._failure(code)
        return Outcome(act, answers.corrupted(act, answer), code is None, code, delay_s)

    def _failure(self, code: int) -> Answer:
        return answers.failure(code, self._scenario.status_of(code))

    def _scope_error(self, call: Call) -> int | None:
        """The error code of the scope headers, None if they are valid."""
        if call.scope in (None, "SELF"):
            return None
        if call.scope == "ALL":
            return 310141
        is_known = call.scope == "OTHER" and call.org is not None and self.book.knows_org(call.org)
        return None if is_known else 310144
