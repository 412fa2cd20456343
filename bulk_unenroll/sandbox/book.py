"""The book of enrollments: who is enrolled in what, by the documented codes. No HTTP."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from bulk_unenroll.sandbox.answers import MESSAGES
from bulk_unenroll.sandbox.rules import Call, Rule
from bulk_unenroll.sandbox.scenario import BookSpec

UNKNOWN: Final = 999_999
TEST_CUSTOMERS: Final = range(999_000_000, 1_000_000_000)

Key = tuple[int, int, int, int]
"""org (0 for SELF), group, target, customer."""


class Book:
    """Takes customers out. ``applied`` counts how many times each call took effect."""

    def __init__(self, spec: BookSpec) -> None:
        self.applied: dict[Key, int] = {}
        self._enrolled_again: set[Key] = set()
        self._open_targets = spec.targets is None and spec.groups is None
        self._open_customers = spec.customers is None
        self._open_orgs = spec.orgs is None
        self._targets = set(spec.targets or ())
        self._groups = set(spec.groups or ())
        self._customers = set(spec.customers or ()) | spec.not_enrolled
        self._not_enrolled = set(spec.not_enrolled)
        self._orgs = set(spec.orgs or ())

    def unenroll(self, key: Key) -> int | None:
        """Take a customer out. Return the error code, None for success."""
        _, group, target, customer = key
        code = self._target_error(group, target)
        if code is None and not self._open_customers and customer not in self._customers:
            code = 310011
        if code is None and (customer in self._not_enrolled or self._was_taken_out(key)):
            code = 310149
        if code is None:
            self.applied[key] = self.applied.get(key, 0) + 1
            self._enrolled_again.discard(key)
        return code

    def knows_org(self, org: int) -> bool:
        """Whether ``org`` is a connected org."""
        return org in self._orgs or (self._open_orgs and org != UNKNOWN)

    def is_test_customer(self, customer: int) -> bool:
        """Whether ``customer`` is a test id, which chooses its own answer."""
        return (
            customer in TEST_CUSTOMERS and self._open_customers and customer not in self._customers
        )

    def teach(
        self,
        *,
        customers: Collection[int] = (),
        targets: Collection[tuple[int, int]] = (),
        groups: Collection[int] = (),
        orgs: Collection[int] = (),
    ) -> None:
        """Add these to the book, and enroll the customers (again) in every target."""
        self._customers.update(customers)
        self._not_enrolled.difference_update(customers)
        self._enrolled_again.update(key for key in self.applied if key[3] in customers)
        self._targets.update(targets)
        self._groups.update(groups)
        self._orgs.update(orgs)

    def _was_taken_out(self, key: Key) -> bool:
        return key in self.applied and key not in self._enrolled_again

    def _target_error(self, group: int, target: int) -> int | None:
        if group in self._groups or (group, target) in self._targets:
            return None
        if self._open_targets:
            return 310017 if group == UNKNOWN else 310018 if target == UNKNOWN else None
        return 310018 if any(group == known for known, _ in self._targets) else 310017


def rule_of_test_id(customer: int, call: Call) -> Rule | None:
    """Return the rule for a test customer (999 and six digits), None for a documented answer."""
    choice = customer - TEST_CUSTOMERS.start
    if choice == 0:
        return Rule(act="reset_after") if call.attempt == 1 else None
    if choice in MESSAGES:
        return Rule(act="answer", code=choice)
    if 400 <= choice < 600:
        is_page = choice >= 500 and choice != 503
        return Rule(act="html" if is_page else "answer", status=choice)
    return None
