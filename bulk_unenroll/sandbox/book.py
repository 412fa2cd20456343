"""The enrolment book: who is enrolled in what, by the documented codes. No HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bulk_unenroll.sandbox.scenario import BookSpec

UNKNOWN: Final = 999_999
TEST_CUSTOMERS: Final = 999_000_000

MESSAGES: Final = {
    310011: "Invalid userId",
    310017: "Target group not found or deactivated",
    310018: "Target rule not found",
    310019: "Target period not found",
    310119: "User already enrolled for the target",
    310141: "Datascope 'ALL' is not supported for this 'API'",
    310144: "Connected Orgs not set properly in Headers",
    310149: "No record found for the user and target",
    300004: "Invalid input",
    320001: "Invalid client key and secret",
    4000: "Access denied",
    4001: "Authorisation service unavailable",
    521: "Multiple actions for the same customer",
}

Key = tuple[int, int, int, int]
"""org (0 for SELF), group, target, customer."""


@dataclass(slots=True)
class Book:
    """Applies unenrolments. ``applied`` counts how often each one took effect."""

    spec: BookSpec
    applied: dict[Key, int] = field(default_factory=dict)
    taught_customers: set[int] = field(default_factory=set)
    taught_targets: set[tuple[int, int]] = field(default_factory=set)

    def unenroll(self, key: Key) -> int | None:
        """Take a customer out; the error code, None for success."""
        code = self._unknown(key)
        if code is None and (key in self.applied or self._stands_out(key[3])):
            code = 310149
        if code is None:
            self.applied[key] = self.applied.get(key, 0) + 1
        return code

    def knows_org(self, org: int) -> bool:
        """Whether an org is connected."""
        return org in self.spec.orgs if self.spec.orgs is not None else org != UNKNOWN

    def _stands_out(self, customer: int) -> bool:
        return customer in self.spec.not_enrolled and customer not in self.taught_customers

    def _unknown(self, key: Key) -> int | None:
        _, group, target, customer = key
        if (group, target) not in self.taught_targets:
            code = self._unknown_target(group, target)
            if code is not None:
                return code
        if customer in self.taught_customers:
            return None
        if self.spec.customers is not None and customer not in self.spec.customers:
            return None if customer in self.spec.not_enrolled else 310011
        return None

    def _unknown_target(self, group: int, target: int) -> int | None:
        known = self.spec.targets
        if known is None:
            return 310017 if group == UNKNOWN else 310018 if target == UNKNOWN else None
        if f"{group}/{target}" in known:
            return None
        return 310018 if any(name.startswith(f"{group}/") for name in known) else 310017

    def test_code(self, customer: int) -> int | None:
        """The code that a test customer (999 and six digits) asks for."""
        asked = customer - TEST_CUSTOMERS
        if not 0 <= asked < 1_000_000 or customer in self.taught_customers:
            return None
        return asked
