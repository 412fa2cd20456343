"""A local fake of the unEnroll API, for rehearsals.

It keeps an enrolment book, misbehaves on script, and tells what it really did. It imports nothing
of the rest of this program, so it is an independent witness of it.

**Scenario.** A TOML file; every key is optional, an unknown one is refused::

    seed = 1                      # of all dice
    errors_with_status = 200      # HTTP status of every error code; or a table [errors_with_status]
                                  #   with lines like 310018 = 200. Default: 200 for 310149 and
                                  #   310011, 401 for 320001, 403 for 4000, 503 for 4001, else 400

    [book]                        # leave it out and everybody is enrolled in everything
    targets = ["1001/2001"]       # group/target, or {group = 1001, target = 2001}
    groups = [1002]               # groups in which every target exists
    customers = [423789336]       # any other is unknown (310011)
    customers_file = "ids.txt"    # the same, one id a line, beside this file
    not_enrolled = [423789337]    # known, but not enrolled (310149)
    orgs = [100012]               # connected orgs; without this line every org is

    [credentials]                 # default: the SANDBOX_ constants
    username = "till1"            # and password, client_key, client_secret

    [oauth]
    ttl_s = 300                   # life of a token

    [limits]
    per_minute = 100              # above that, in a sliding minute: 429
    retry_after = true            # with Retry-After

    [[rule]]                      # the first rule that matches acts; rules apply to calls that
                                  #   were let in and are well formed
    customers = [423789336]       # match: customers, groups, targets, orgs: one or a list
    attempt = 1                   #   nth call for the customer/target: one or a list
    nth = [3, 7]                  #   nth call of all; every = 10: each tenth of all
    after_s = 2                   #   after_s and before_s: seconds since the start
    probability = 0.1             #   of the calls that match so far; seed = 7 for own dice
    times = 5                     #   at most so often
    act = "answer"                # act: see below
    delay_s = 0.5                 # before the answer; what it does to the book is done at once
    status = 500                  # of answer, html, redirect; and headers = {Name = "line"}
    retry_after = "5"             #   seconds or a date
    code = 310011                 # of answer; and message; or body = "anything"

=====================  ========  ===================================================================
act                    applied   what comes back
=====================  ========  ===================================================================
``apply``              yes       as documented, after the delay; the default without status, code …
``answer``             no        status, code, message, body; the default with one of them
``html``               no        a gateway's page, 502 unless ``status`` says otherwise
``redirect``           no        302 unless ``status`` says otherwise
``reset_before``       no        the connection is reset
``reset_after``        yes       the connection is reset
``silent``             yes       nothing, until the caller goes away
``silent_unapplied``   no        nothing, until the caller goes away
``half``               yes       half the JSON, then the connection is closed
``drip``               yes       half the JSON, then a byte a second
``garbage``            yes       200 and bytes that are no JSON
``oversized``          yes       the documented answer and 3 MiB of blanks
``errors_with_200``    yes       as documented, but errors come with 200 too
``empty_204``          yes       204 and no body
=====================  ========  ===================================================================

``kind`` is understood for ``act``, ``half_body`` for ``half``, and the singular of the four lists.

**Test ids** work without a scenario, like test cards of a payment service. Customer 999 and a
documented code in six digits (999310011, 999000521) is answered with that code; 999000 and an HTTP
status of 400 to 599 with that status, as a gateway's page from 500 on (503: no body); 999000000 is
applied, the first time with a reset for an answer. Target 999999, group 999999 and org 999999 do
not exist. What the book lists, or was taught, is ordinary; where it lists customers, targets or
orgs, there are no test ids of that kind.

**Asking it**, without credentials: GET ``/_sandbox/book`` (who was taken out, and how often),
``/_sandbox/calls`` (every unEnroll call in order of arrival; the journal has the same lines) and
``/_sandbox/counts``. POST ``/_sandbox/teach`` with any of ``customers``, ``targets``, ``groups``,
``orgs`` makes these known, and the customers enrolled (again) in every target; with ``rules``, a
list of tables, replaces the rules. POST ``/_sandbox/reset`` starts anew; tokens stay good.
"""

from __future__ import annotations

from bulk_unenroll.sandbox.reading import ScenarioError
from bulk_unenroll.sandbox.running import serve, start_in_thread
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
