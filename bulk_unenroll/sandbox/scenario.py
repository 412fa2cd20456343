"""What a scenario file may say. See the package's docstring for the format."""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, TypeVar

ACTS: Final = (
    "apply",
    "answer",
    "html",
    "reset_before",
    "reset_after",
    "silent",
    "silent_unapplied",
    "half",
    "garbage",
    "oversized",
    "drip",
    "redirect",
)

T = TypeVar("T")


class ScenarioError(ValueError):
    """A scenario says something that is not understood. One line."""


@dataclass(frozen=True, slots=True)
class Call:
    """One unEnroll request as it came: ``attempt`` is the nth of this customer/target."""

    org: int | None
    group: int
    target: int
    customer: int
    attempt: int
    number: int
    at_s: float


@dataclass(slots=True)
class Rule:
    """When to misbehave, and how. ``times`` limits how often, ``used`` counts."""

    customers: list[int] | None = None
    groups: list[int] | None = None
    targets: list[int] | None = None
    orgs: list[int] | None = None
    attempt: int | None = None
    every: int | None = None
    after_s: float | None = None
    before_s: float | None = None
    probability: float | None = None
    times: int | None = None
    act: str = "apply"
    delay_s: float = 0.0
    status: int = 200
    code: int | str | None = None
    message: str = "as the scenario says"
    body: str | None = None
    retry_after: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    used: int = 0

    def matches(self, call: Call, dice: random.Random) -> bool:
        """Whether this rule acts on ``call``; counts its uses."""
        if self.times is not None and self.used >= self.times:
            return False
        matched = self._names(call) and self._counts(call)
        if matched and self.probability is not None:
            matched = dice.random() < self.probability
        self.used += matched
        return matched

    def _names(self, call: Call) -> bool:
        pairs = (
            (self.customers, call.customer),
            (self.groups, call.group),
            (self.targets, call.target),
            (self.orgs, call.org),
        )
        return all(listed is None or value in listed for listed, value in pairs)

    def _counts(self, call: Call) -> bool:
        return (
            (self.attempt is None or call.attempt == self.attempt)
            and (self.every is None or call.number % self.every == 0)
            and (self.after_s is None or call.at_s >= self.after_s)
            and (self.before_s is None or call.at_s < self.before_s)
        )


@dataclass(slots=True)
class BookSpec:
    """Who and what is known; None means everybody and everything."""

    targets: list[str] | None = None
    customers: list[int] | None = None
    not_enrolled: list[int] = field(default_factory=list)
    orgs: list[int] | None = None


@dataclass(slots=True)
class OAuthSpec:
    """The life of a token in seconds."""

    ttl_s: float = 300.0


@dataclass(slots=True)
class LimitSpec:
    """A server-side limit in a sliding minute."""

    per_minute: int | None = None
    retry_after: bool = True


@dataclass(slots=True)
class Scenario:
    """Everything that a scenario file may hold."""

    book: BookSpec = field(default_factory=BookSpec)
    oauth: OAuthSpec = field(default_factory=OAuthSpec)
    limits: LimitSpec = field(default_factory=LimitSpec)
    rules: list[Rule] = field(default_factory=list)
    seed: int = 1


def load_scenario(path: Path) -> Scenario:
    """Read a scenario file; raises ``ScenarioError`` or ``OSError``."""
    try:
        return parse_scenario(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ScenarioError(str(error)) from None


def parse_scenario(document: Mapping[str, Any]) -> Scenario:
    """A scenario from what TOML gave."""
    _check_keys("the scenario", document, ("book", "oauth", "limits", "rule", "seed"))
    return Scenario(
        book=_section(BookSpec, "[book]", document.get("book", {})),
        oauth=_section(OAuthSpec, "[oauth]", document.get("oauth", {})),
        limits=_section(LimitSpec, "[limits]", document.get("limits", {})),
        rules=parse_rules(document.get("rule", [])),
        seed=document.get("seed", 1),
    )


def parse_rules(listed: object) -> list[Rule]:
    """Rules from a list of tables."""
    if not isinstance(listed, list):
        raise ScenarioError("rules stand under [[rule]], with two brackets")
    rules = [_section(Rule, "[[rule]]", table) for table in listed]
    for rule in rules:
        if rule.act not in ACTS:
            raise ScenarioError(f"[[rule]]: {_unknown('act', rule.act, ACTS)}")
    return rules


def _section(kind: type[T], name: str, table: object) -> T:
    if not isinstance(table, Mapping):
        raise ScenarioError(f"{name} is no table")
    known = tuple(item.name for item in fields(kind) if item.name != "used")  # type: ignore[arg-type]
    _check_keys(name, table, known)
    return kind(**table)


def _check_keys(where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise ScenarioError(f"{where}: {_unknown('key', key, known)}")


def _unknown(what: str, word: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(word, known, 1)
    return f"unknown {what} {word!r}" + (f", did you mean {near[0]!r}?" if near else "")
