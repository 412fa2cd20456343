"""The SQL files beside this module, and their macros. A parameter is written ``:name``."""

from __future__ import annotations

import re
from typing import Final

from bulk_unenroll.ledger.places import LAST_ROW, PLACE_BITS
from bulk_unenroll.ledger.postgres.staging import DIVISIONS
from bulk_unenroll.ledger.statements import read_statements

PIECE: Final = 20_000
"""How many customers/targets are looked at in one turn to settle what is blocked."""

MACROS: Final = {
    # an integer comes as the smallest type that holds it, in which it could not be shifted
    "place": f"({{0}}::bigint << {PLACE_BITS} | {{1}})",
    "source_of": f"({{0}} >> {PLACE_BITS})",
    "row_of": f"({{0}} & {LAST_ROW})",
    "of_source": (
        f"{{0}} BETWEEN {{1}}::bigint << {PLACE_BITS}"
        f" AND ({{1}}::bigint << {PLACE_BITS}) + {LAST_ROW}"
    ),
    "last_division": f"{DIVISIONS - 1}",
    # a staged row of some sources stands not yet among those that repeat one, or are known
    "is_first": """NOT EXISTS (
    SELECT 1 FROM row r
    WHERE r.source = {{source_of {0}}} AND r.row = {{row_of {0}}}
      AND r.source = ANY (:sources::bigint[]))""",
    "piece": f"{PIECE}",
    # how many rows a slice of a source, c, has: a small one is cut, too, for several senders
    "size": "greatest(50, least(2000, (c.row_count + 63) / 64))",
    # Unix seconds as text, to the millisecond, as SQLite's strftime rounds it
    "moment": """to_char(to_timestamp(floor({0} * 1000 + 0.5) / 1000) AT TIME ZONE 'UTC',
        'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
    # the line of an input's file in which a row begins; NULL where lines were not kept
    "line_of": """(SELECT l.line + {1} - l.row FROM line l WHERE l.source = {0} AND l.row <= {1}
        ORDER BY l.row DESC LIMIT 1)""",
    # the sources that are superseded once these are confirmed, given under these names: other
    # contents of their paths, and parts that are gone
    "replaced": """SELECT id FROM source
    WHERE superseded_at IS NULL AND id <> ALL (:{0}::bigint[])
      AND (path IN (SELECT path FROM source WHERE id = ANY (:{0}::bigint[]))
           OR id IN (SELECT source FROM part WHERE name = ANY (:{1}::text[])))""",
    # a row of a view is one of those that are asked for
    "shown": """(:states::text[] IS NULL OR status = ANY (:states::text[]))
  AND (:codes::text[] IS NULL OR code = ANY (:codes::text[]))
  AND (:targets::text[] IS NULL
       OR target_group_id || '/' || target_id = ANY (:targets::text[]))""",
    # the customer/target is one of those that are asked for; beside it stands its target, t
    "selected": """(:states::text[] IS NULL OR {0}.state::text = ANY (:states::text[]))
  AND (:codes::text[] IS NULL OR {0}.code = ANY (:codes::text[]))
  AND (:targets::text[] IS NULL
       OR t.target_group_id || '/' || t.target_id = ANY (:targets::text[]))
  AND {{in_sources {0}.id}}""",
    # the customer/target has a row in one of some sources
    "in_sources": """({{source_of {0}}} = ANY (:sources::bigint[])
       OR EXISTS (SELECT 1 FROM row r
                  WHERE r.item = {0} AND r.source = ANY (:sources::bigint[])))""",
    # the same within a turn: asked for each by itself, and never of all rows of the sources
    "in_run": """({{source_of {0}}} = ANY (:sources::bigint[])
       OR (SELECT true FROM row r WHERE r.item = {0} AND r.source = ANY (:sources::bigint[])
           LIMIT 1) IS NOT NULL)""",
    # The pieces of a claim. Each finds `chosen`: place, item, target, customer_id, attempts, run,
    # tries, doubt_at, doubtful, mismatch, code, and whether it waited in the agenda.
    # What is due stands before every place, in the order of hundredths of a second.
    "due": """SELECT (a.not_before * 100)::bigint AS place, a.item, a.target, i.customer_id,
           a.attempts, a.run, a.tries, a.doubt_at, a.doubtful, a.mismatch, a.code, true AS waited
    FROM agenda a JOIN item i ON i.id = a.item
    WHERE a.not_before > 0 AND a.not_before <= :now
      AND (:only::bigint[] IS NULL OR a.item = ANY (:only::bigint[]))
      AND {{not_halted a}} AND {{in_run a.item}}
    ORDER BY a.not_before, a.item LIMIT :most FOR UPDATE OF a SKIP LOCKED""",
    # what waits to be called again, or will be due
    "waiting": """SELECT a.not_before FROM agenda a
WHERE a.not_before > 0
  AND (:only::bigint[] IS NULL OR a.item = ANY (:only::bigint[]))
  AND {{not_halted a}} AND {{in_run a.item}}""",
    "in_line": """SELECT a.item AS place, a.item, a.target, i.customer_id, a.attempts,
           NULL::integer AS run, 0 AS tries, NULL::float8 AS doubt_at, false AS doubtful,
           a.mismatch, a.code, true AS waited
    FROM agenda a JOIN item i ON i.id = a.item
    WHERE a.not_before = 0 AND a.item > :after AND a.item <= :last AND {{not_halted a}}
    ORDER BY a.item""",
    "fresh": """SELECT i.id AS place, {{untried}}
    FROM item i LEFT JOIN agenda a ON a.item = i.id
    WHERE i.id > :after AND i.id <= :last AND {{is_untried}}
    ORDER BY i.id""",
    "fresh_known": """SELECT {{place r.source, r.row}} AS place, {{untried}}
    FROM row r JOIN item i ON i.id = r.item LEFT JOIN agenda a ON a.item = i.id
    WHERE r.source = {{source_of :last::bigint}} AND r.row > {{row_of :after::bigint}}
      AND r.row <= {{row_of :last::bigint}}
      AND r.item IS NOT NULL AND r.repeats IS NULL AND {{is_untried}}
      AND {{source_of r.item}} <> ALL (:sources::bigint[])
      AND NOT EXISTS (SELECT 1 FROM row e WHERE e.item = r.item AND e.source < r.source
                      AND e.source = ANY (:sources::bigint[]))
    ORDER BY r.row""",
    "fresh_of_target": """SELECT i.id AS place, {{untried}}
    FROM item i LEFT JOIN agenda a ON a.item = i.id
    WHERE i.id > :after AND i.id <= :last AND i.target = :target AND {{is_untried}}
      AND {{in_run i.id}}
    ORDER BY i.id""",
    "untried": """i.id AS item, i.target, i.customer_id, coalesce(a.attempts, 0) AS attempts,
           NULL::integer AS run, 0 AS tries, NULL::float8 AS doubt_at, false AS doubtful,
           coalesce(a.mismatch, false) AS mismatch, a.code, a.item IS NOT NULL AS waited""",
    # asked for one by one: a join with what is settled would begin with its first row
    "is_untried": """(a.item IS NULL OR a.not_before = 0)
      AND (SELECT true FROM outcome o WHERE o.item = i.id) IS NULL
      AND (SELECT true FROM flight f WHERE f.item = i.id) IS NULL
      AND {{not_halted i}}""",
    "not_halted": """(cardinality(:halted::bigint[]) = 0
       OR (SELECT t.org_id FROM target t WHERE t.id = {0}.target) <> ALL (:halted::bigint[]))""",
    # `chosen` goes from the agenda into flight
    "flown": """gone AS (
    DELETE FROM agenda WHERE item = ANY (ARRAY(SELECT item FROM chosen WHERE waited))),
flown AS (
    INSERT INTO flight (item, sender, target, run, attempts, tries, claimed_at, doubt_at, doubtful,
                        mismatch, code)
    SELECT item, :sender, target, :run, attempts, CASE WHEN run = :run THEN tries ELSE 0 END, :now,
           doubt_at, doubtful, mismatch, code
    FROM chosen)
SELECT c.item, t.org_id, t.target_group_id, t.target_id, c.customer_id,
       CASE WHEN c.run = :run THEN c.tries ELSE 0 END, c.doubtful, c.place
FROM chosen c CROSS JOIN LATERAL (SELECT * FROM target WHERE target.id = c.target OFFSET 0) t
ORDER BY c.place, c.item""",
}

FILES: Final = (
    "schema",
    "views",
    "loading",
    "arrivals",
    "claims",
    "senders",
    "reader",
    "report",
    "proof",
    "moving",
)
SCRIPTS: Final = read_statements(__package__, FILES, MACROS)
"""Each statement as it is written; those without parameters may be several."""

_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z][a-z0-9_]*)")
SQL: Final = {
    name: _PARAMETER.sub(r"%(\1)s", text.replace("%", "%%")).encode()
    for name, text in SCRIPTS.items()
}
"""The same for psycopg."""
