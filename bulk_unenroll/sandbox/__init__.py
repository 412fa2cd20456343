"""A local fake of the unEnroll API, for rehearsals.

It keeps an enrolment book, misbehaves on script, and tells what it really did. It imports nothing
of the rest of this program, so it is an independent witness of it.

A scenario is TOML; every key is optional::

    [book]                        # leave it out and everybody is enrolled in everything
    targets = ["1001/2001"]       # group/target; any other is unknown (310017 or 310018)
    customers = [423789336]       # any other is unknown (310011)
    not_enrolled = [423789337]    # known, but not enrolled (310149)
    orgs = [100012]               # connected orgs; without this line every org is

    [oauth]
    ttl_s = 300

    [limits]
    per_minute = 100              # above that, in a sliding window: 429
    retry_after = true            # with Retry-After

    [[rule]]                      # the first rule that matches acts
    customers = [423789336]       # match: customers, groups, targets, orgs (lists),
    attempt = 1                   #   the customer's nth call, every (each nth call of all),
    after_s = 0                   #   after_s and before_s since the start,
    probability = 0.1             #   probability (seeded), times (at most so often)
    act = "answer"                # act: see below
    status = 500
    code = 310011
    message = "..."
    retry_after = "5"
    delay_s = 0.5

``act`` is ``answer`` (with ``status``, ``code``, ``message``, ``body``), ``html`` (a gateway's
page), ``reset_before`` and ``reset_after`` (the connection breaks before or after applying),
``silent`` (applied, no answer ever), ``silent_unapplied``, ``half`` (applied, half an answer),
``garbage`` (applied), ``oversized`` (applied), ``drip`` (applied, a byte a second), ``redirect``,
or ``apply`` (the default: as documented, with the delay).

Test ids work without a scenario, like test cards of a payment service: customer 999 followed by a
documented code (999310011) is answered with it, 999000500 with HTTP 500, 999000000 is applied and
not answered the first time; target and group 999999 are unknown; org 999999 is not connected.
"""

from __future__ import annotations

from bulk_unenroll.sandbox.scenario import Scenario, ScenarioError, load_scenario
from bulk_unenroll.sandbox.server import (
    SANDBOX_CLIENT_KEY,
    SANDBOX_CLIENT_SECRET,
    SANDBOX_PASSWORD,
    SANDBOX_USERNAME,
    Sandbox,
    serve,
    start_in_thread,
)

__all__ = [
    "SANDBOX_CLIENT_KEY",
    "SANDBOX_CLIENT_SECRET",
    "SANDBOX_PASSWORD",
    "SANDBOX_USERNAME",
    "Sandbox",
    "Scenario",
    "ScenarioError",
    "load_scenario",
    "serve",
    "start_in_thread",
]
