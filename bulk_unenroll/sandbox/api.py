"""The API itself: a call in, what is done about it out. No HTTP server, no clock."""

from __future__ import annotations

from typing import NamedTuple

from bulk_unenroll.sandbox import answers
from bulk_unenroll.sandbox.answers import Answer
from bulk_unenroll.sandbox.book import Book, rule_of_test_id
from bulk_unenroll.sandbox.rules import APPLYING, TELLING, Call, Rule, Script
from bulk_unenroll.sandbox.scenario import Scenario

BROKEN = frozenset({"reset_before", "reset_after", "silent", "silent_unapplied", "half", "drip"})
"""What ends, or keeps waiting, without an answer in one piece."""


class Deed(NamedTuple):
    """What is done about a call: the answer comes after ``delay_s``, the rest is done already.

    ``act`` is a rule's, or ``refused`` for a caller who was not let in.
    """

    act: str
    answer: Answer
    applied: bool = False
    code: int | str | None = None
    delay_s: float = 0.0

    @property
    def seen_as(self) -> int | str:
        """The HTTP status, or the act where no whole answer comes."""
        return self.act if self.act in BROKEN else self.answer.status


class Api:
    """Book and script at work on calls that were let in."""

    def __init__(self, scenario: Scenario) -> None:
        self.book = Book(scenario.book)
        self.script = Script(scenario.rules, scenario.seed)
        self._scenario = scenario
        self._attempts: dict[tuple[int, int, int, int], int] = {}

    def count(self, org: int | None, group: int, target: int, customer: int | None) -> int:
        """Which attempt for its customer/target a call is; the first is 1."""
        if customer is None:
            return 1
        key = (org or 0, group, target, customer)
        self._attempts[key] = attempt = self._attempts.get(key, 0) + 1
        return attempt

    def follow(self, rules: tuple[Rule, ...]) -> None:
        """Go on with other rules; their uses and dice start anew."""
        self.script = Script(rules, self._scenario.seed)

    def decide(self, call: Call) -> Deed:
        """Apply a call as far as book and script let it."""
        code = self._fault(call)
        if code is not None or call.customer is None:
            return Deed("apply", self._failure(code or 300004), code=code or 300004)
        rule = self.script.pick(call)
        delay_s = rule.delay_s if rule else 0.0
        if (rule is None or rule.act == "apply") and self.book.is_test_customer(call.customer):
            rule = rule_of_test_id(call.customer, call)
        if rule is not None and rule.act in TELLING:
            told = answers.told(rule, self._scenario)
            return Deed(rule.act, told, code=rule.code, delay_s=delay_s)
        return self._apply(rule.act if rule else "apply", call, call.customer, delay_s)

    def _apply(self, act: str, call: Call, customer: int, delay_s: float) -> Deed:
        if act not in APPLYING:
            return Deed(act, Answer(500), delay_s=delay_s)  # nobody will read it
        code = self.book.unenroll((call.org or 0, call.group, call.target, customer))
        answer = answers.success(customer) if code is None else self._failure(code)
        return Deed(act, answers.spoilt(act, answer), code is None, code, delay_s)

    def _failure(self, code: int) -> Answer:
        return answers.failure(code, self._scenario.status_of(code))

    def _fault(self, call: Call) -> int | None:
        """What is wrong with the scope headers."""
        if call.scope in (None, "SELF"):
            return None
        if call.scope == "ALL":
            return 310141
        right = call.scope == "OTHER" and call.org is not None and self.book.knows_org(call.org)
        return None if right else 310144
