"""A local fake of the unEnroll API, for rehearsals.

It keeps a book of enrollments, fails as a scenario says, and reports what it really did. It imports
nothing else of this program, so that it is an independent witness.

**Scenario.** A TOML file. Every key is optional; an unknown key is refused::

    seed = 1                      # of all random decisions
    errors_with_status = 200      # HTTP status of every error code; or a table [errors_with_status]
                                  #   with lines like 310018 = 200. Default: 200 for 310149 and
                                  #   310011, 401 for 320001, 403 for 4000, 503 for 4001, else 400

    [book]                        # without it, all customers are enrolled in all targets
    targets = ["1001/2001"]       # group/target, or {group = 1001, target = 2001}
    groups = [1002]               # groups in which every target exists
    customers = [423789336]       # all others are unknown (310011)
    customers_file = "ids.txt"    # the same, one id per line, relative to this file
    not_enrolled = [423789337]    # known, but not enrolled (310149)
    orgs = [100012]               # connected orgs; without this line, all orgs are

    [credentials]                 # default: the SANDBOX_ constants
    username = "till1"            # also password, client_key, client_secret

    [oauth]
    ttl_s = 300                   # life of a token

    [limits]
    per_minute = 100              # more calls in a sliding minute are answered with 429
    retry_after = true            # and with Retry-After

    [[rule]]                      # the first rule that matches a call applies; calls that are
                                  #   refused or malformed match no rule
    customers = [423789336]       # match: customers, groups, targets, orgs: one or a list
    attempt = 1                   #   nth call for the customer/target: one or a list
    nth = [3, 7]                  #   nth call of all; every = 10: every tenth call of all
    after_s = 2                   #   after_s and before_s: seconds since the start
    probability = 0.1             #   of the calls that match so far; seed = 7: its own seed
    times = 5                     #   at most this many times
    act = "answer"                # what to do: see below
    delay_s = 0.5                 # before the answer; the book changes at once
    status = 500                  # for answer, html, redirect; also headers = {Name = "line"}
    retry_after = "5"             #   seconds or a date
    code = 310011                 # for answer; also message; or body = "anything"

=====================  ========  ===================================================================
act                    applied   what comes back
=====================  ========  ===================================================================
``apply``              yes       as documented; the default without status, code, …
``answer``             no        status, code, message, body; the default with any of them
``html``               no        a gateway's page, with 502 or ``status``
``redirect``           no        302 or ``status``
``reset_before``       no        the connection is reset
``reset_after``        yes       the connection is reset
``silent``             yes       nothing, until the client disconnects
``silent_unapplied``   no        nothing, until the client disconnects
``half``               yes       half the JSON, then the connection is closed
``drip``               yes       half the JSON, then one byte per second
``garbage``            yes       200 and bytes that are not JSON
``oversized``          yes       the documented answer and 3 MiB of spaces
``errors_with_200``    yes       as documented, but with 200 for errors too
``empty_204``          yes       204 and no body
=====================  ========  ===================================================================

``kind`` may be written for ``act``, ``half_body`` for ``half``, and the singular of the four lists.

**Test ids** work without a scenario, like the test cards of a payment service. Customer 999 plus a
documented code in six digits (999310011, 999000521) is answered with that code. Customer 999000
plus an HTTP status of 400 to 599 is answered with that status; from 500 on as a gateway's page, but
503 without a body. Customer 999000000 is applied, but the first call ends with a reset. Target
999999, group 999999 and org 999999 do not exist. Ids that the book lists or was taught are not test
ids, and if it lists customers, targets or orgs, there are no test ids of that kind.

**Questions**, without credentials: GET ``/_sandbox/book`` (who was taken out, and how often),
``/_sandbox/calls`` (every unEnroll call in order of arrival; the journal has the same lines) and
``/_sandbox/counts``. POST ``/_sandbox/teach`` with any of ``customers``, ``targets``, ``groups``,
``orgs`` adds these to the book, and enrolls the customers (again) in every target; with ``rules``,
a list of tables, it replaces the rules. POST ``/_sandbox/reset`` starts over; tokens stay valid.
"""

from __future__ import annotations

from bulk_unenroll.sandbox.reading import ScenarioError
from bulk_unenroll.sandbox.scenario import (
    SANDBOX_CLIENT_KEY,
    SANDBOX_CLIENT_SECRET,
    SANDBOX_PASSWORD,
    SANDBOX_USERNAME,
    Scenario,
    load_scenario,
    parse_scenario,
)
from bulk_unenroll.sandbox.server import Sandbox
from bulk_unenroll.sandbox.start import serve, start_in_thread

__all__ = [
    "SANDBOX_CLIENT_KEY",
    "SANDBOX_CLIENT_SECRET",
    "SANDBOX_PASSWORD",
    "SANDBOX_USERNAME",
    "Sandbox",
    "Scenario",
    "ScenarioError",
    "load_scenario",
    "parse_scenario",
    "serve",
    "start_in_thread",
]
