"""Rules: which calls are not answered as documented, and how they are. No HTTP, no files."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bulk_unenroll.sandbox import reading
from bulk_unenroll.sandbox.reading import Reader, ScenarioError, read_table

APPLYING_ACTS: Final = frozenset(
    {
        "apply",
        "reset_after",
        "silent",
        "half",
        "garbage",
        "oversized",
        "drip",
        "errors_with_200",
        "empty_204",
    }
)
"""Acts that take the customer out, if the book allows it."""

ANSWERING_ACTS: Final = frozenset({"answer", "html", "redirect"})
"""Acts that send the rule's own answer. Nothing is applied."""

ACTS: Final = (*sorted(APPLYING_ACTS | ANSWERING_ACTS), "reset_before", "silent_unapplied")
ANSWER_KEYS: Final = frozenset({"status", "code", "message", "body", "headers", "retry_after"})
"""Keys that only an answering act uses."""


class Call(NamedTuple):
    """One unEnroll request as received.

    ``number`` counts all calls since the start, ``at_s`` are the seconds since then, ``attempt``
    counts the admitted calls for this customer/target (0: not admitted). ``scope`` is the header's
    text, ``org`` the id it names; ``customer`` is None if the body does not name exactly one.
    """

    number: int
    at_s: float
    prefix: str
    scope: str | None
    org: int | None
    group: int
    target: int
    customer: int | None
    attempt: int


@dataclass(frozen=True, slots=True)
class Rule:
    """When not to answer as documented, and what to do instead. None matches every call."""

    customers: frozenset[int] | None = None
    groups: frozenset[int] | None = None
    targets: frozenset[int] | None = None
    orgs: frozenset[int] | None = None
    attempt: frozenset[int] | None = None
    nth: frozenset[int] | None = None
    every: int | None = None
    after_s: float | None = None
    before_s: float | None = None
    probability: float | None = None
    seed: int | None = None
    times: int | None = None
    act: str = "apply"
    delay_s: float = 0.0
    status: int | None = None
    code: int | str | None = None
    message: str | None = None
    body: str | None = None
    retry_after: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def matches(self, call: Call) -> bool:
        """Whether this rule is for ``call``, regardless of ``probability`` and ``times``."""
        listed = (
            (self.customers, call.customer),
            (self.groups, call.group),
            (self.targets, call.target),
            (self.orgs, call.org),
            (self.attempt, call.attempt),
            (self.nth, call.number),
        )
        return (
            all(wanted is None or value in wanted for wanted, value in listed)
            and (self.every is None or call.number % self.every == 0)
            and (self.after_s is None or call.at_s >= self.after_s)
            and (self.before_s is None or call.at_s < self.before_s)
        )


class Script:
    """Applies the first rule that matches. Each has its own random numbers and counts its uses."""

    def __init__(self, rules: Iterable[Rule], seed: int) -> None:
        self.rules = tuple(rules)
        self.used = [0] * len(self.rules)
        # a seed of its own for each rule, so that no rule changes the random numbers of another
        self._random = [
            random.Random(f"{seed if rule.seed is None else rule.seed}/{index}")  # noqa: S311
            for index, rule in enumerate(self.rules)
        ]

    def pick(self, call: Call) -> Rule | None:
        """Return the rule that applies to ``call``, and count its use."""
        for index, rule in enumerate(self.rules):
            if self._applies(index, rule, call):
                self.used[index] += 1
                return rule
        return None

    def _applies(self, index: int, rule: Rule, call: Call) -> bool:
        if rule.times is not None and self.used[index] >= rule.times:
            return False
        if not rule.matches(call):
            return False
        return rule.probability is None or self._random[index].random() < rule.probability


READERS: Final[Mapping[str, Reader]] = {
    "customers": reading.ids,
    "groups": reading.ids,
    "targets": reading.ids,
    "orgs": reading.ids,
    "attempt": reading.ids,
    "nth": reading.ids,
    "every": reading.one_id,
    "after_s": reading.number(),
    "before_s": reading.number(),
    "probability": reading.number(1),
    "seed": reading.integer(0),
    "times": reading.integer(0),
    "act": reading.word(*ACTS, half_body="half"),
    "delay_s": reading.number(),
    "status": reading.integer(200, 599),
    "code": reading.error_code,
    "message": reading.text,
    "body": reading.text,
    "retry_after": reading.header,
    "headers": reading.headers,
}
ALIASES: Final = {
    "customer": "customers",
    "group": "groups",
    "target": "targets",
    "org": "orgs",
    "kind": "act",
}


def parse_rules(listed: object) -> tuple[Rule, ...]:
    """Return the rules of a list of tables; raises ``ScenarioError``."""
    if not isinstance(listed, list):
        raise ScenarioError("write each rule under [[rule]], with two brackets")
    return tuple(
        _parse_rule(f"[[rule]] {index}", table) for index, table in enumerate(listed, start=1)
    )


def _parse_rule(where: str, table: object) -> Rule:
    values = read_table(where, table, READERS, ALIASES)
    answer_keys = sorted(ANSWER_KEYS & values.keys())
    act = values.setdefault("act", "answer" if answer_keys else "apply")
    if answer_keys and act not in ANSWERING_ACTS:
        raise ScenarioError(f"{where}: {answer_keys[0]!r} has no effect if act is {act!r}")
    return Rule(**values)
