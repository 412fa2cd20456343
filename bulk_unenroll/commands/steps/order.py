"""Checks that a run would do what was ordered: ``--expect``, caps, ``--plan``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bulk_unenroll.ledger.interface import LedgerReader
from bulk_unenroll.model import State
from bulk_unenroll.reports.plan_id import differences
from bulk_unenroll.reports.problems import TargetFact
from bulk_unenroll.settings import RunSettings


def pending_by_target(facts: Iterable[TargetFact], *, doubts: bool = False) -> dict[str, int]:
    """How many customers are to be called, by ``group/target``, whatever their org.

    ``doubts``: those in doubt may be called, too.
    """
    states = (State.PENDING, State.IN_DOUBT) if doubts else (State.PENDING,)
    pending: dict[str, int] = {}
    for fact in facts:
        name = str(fact.target)
        pending[name] = pending.get(name, 0) + sum(fact.states.get(s, 0) for s in states)
    return pending


def broken_order(settings: RunSettings, to_call: int, by_target: Mapping[str, int]) -> str:
    """Why a run of ``to_call`` customers/targets was not ordered; "" if it was.

    ``by_target`` are the customers that would be called, by ``group/target``.
    """
    return next(_broken(settings, to_call, by_target), "")


def _broken(settings: RunSettings, to_call: int, by_target: Mapping[str, int]) -> Iterator[str]:
    if settings.expect is not None and not settings.expect.met_by(to_call):
        yield f"{to_call} customers/targets would be called, not the {settings.expect} of --expect"
    most = settings.max_customers
    if most is not None and to_call > most:
        yield f"{to_call} customers/targets would be called: --max-customers allows {most}"
    for cap in settings.max_target:
        number = by_target.get(cap.target, 0)
        if number > cap.customers:
            yield (
                f"{number} customers of {cap.target} would be called: --max-target allows"
                f" {cap.customers}"
            )


def not_as_planned(reader: LedgerReader, plan_id: str, now: Mapping[str, Any]) -> str:
    """What differs from the plan with this id; "" if nothing does."""
    planned = reader.plans().get(plan_id)
    if planned is None:
        return f"this folder has no plan {plan_id}"
    found = list(differences(planned, now))
    return f"not as in plan {plan_id}: {'; '.join(found)}" if found else ""
