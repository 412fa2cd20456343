"""Rules: which calls are answered otherwise than documented, and how. No HTTP, no files."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from bulk_unenroll.sandbox import reading
from bulk_unenroll.sandbox.reading import Reader, ScenarioError, read_table

APPLYING: Final = frozenset(
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
"""What takes the customer out, as far as the book lets it."""

TELLING: Final = frozenset({"answer", "html", "redirect"})
"""What sends an answer of the rule's own. Nothing is applied."""

ACTS: Final = (*sorted(APPLYING | TELLING), "reset_before", "silent_unapplied")
TOLD: Final = frozenset({"status", "code", "message", "body", "headers", "retry_after"})
"""What only a telling act has a use for."""


class Call(NamedTuple):
    """One unEnroll request as it came.

    ``number`` is the nth of all since the start, ``at_s`` seconds since then, ``attempt`` the nth
    for this customer/target that was let in (0: it was not). ``scope`` is the header's text,
    ``org`` its one id; ``customer`` is None where the body names not exactly one.
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
    """When to misbehave, and how. What is None does not matter."""

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
        """Whether ``call`` is one that this rule is about, dice and ``times`` aside."""
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
    """Rules at work: the first that matches acts. Each has its own dice and counts its uses."""

    def __init__(self, rules: Iterable[Rule], seed: int) -> None:
        self.rules = tuple(rules)
        self.used = [0] * len(self.rules)
        # seeded with text that differs from rule to rule: one rule's throws never shift another's
        self._dice = [
            random.Random(f"{seed if rule.seed is None else rule.seed}/{index}")  # noqa: S311
            for index, rule in enumerate(self.rules)
        ]

    def pick(self, call: Call) -> Rule | None:
        """The rule that acts on ``call``, counted as used."""
        for index, rule in enumerate(self.rules):
            if self._acts(index, rule, call):
                self.used[index] += 1
                return rule
        return None

    def _acts(self, index: int, rule: Rule, call: Call) -> bool:
        if rule.times is not None and self.used[index] >= rule.times:
            return False
        if not rule.matches(call):
            return False
        return rule.probability is None or self._dice[index].random() < rule.probability


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
    "seed": reading.whole(0),
    "times": reading.whole(0),
    "act": reading.word(*ACTS, half_body="half"),
    "delay_s": reading.number(),
    "status": reading.whole(200, 599),
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
    """Rules from a list of tables; raises ``ScenarioError``."""
    if not isinstance(listed, list):
        raise ScenarioError("rules stand under [[rule]], with two brackets")
    return tuple(
        _parse_rule(f"[[rule]] {index}", table) for index, table in enumerate(listed, start=1)
    )


def _parse_rule(where: str, table: object) -> Rule:
    values = read_table(where, table, READERS, ALIASES)
    told = sorted(TOLD & values.keys())
    act = values.setdefault("act", "answer" if told else "apply")
    if told and act not in TELLING:
        raise ScenarioError(f"{where}: {told[0]!r} means nothing where act is {act!r}")
    return Rule(**values)
