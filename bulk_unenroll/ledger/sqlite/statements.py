"""The SQL files beside this module, and their macros."""

from __future__ import annotations

from typing import Final

from bulk_unenroll.ledger.places import LAST_ROW, PLACE_BITS
from bulk_unenroll.ledger.statements import read_statements

MACROS: Final = {
    "place": f"{{0}} << {PLACE_BITS} | {{1}}",
    "source_of": f"{{0}} >> {PLACE_BITS}",
    "row_of": f"{{0}} & 0x{LAST_ROW:X}",
    "of_source": (
        f"{{0}} BETWEEN {{1}} << {PLACE_BITS} AND ({{1}} << {PLACE_BITS}) + 0x{LAST_ROW:X}"
    ),
    # the line of an input's file in which a row begins; NULL where lines were not kept
    "line_of": """(SELECT l.line + {1} - l.row FROM line l WHERE l.source = {0} AND l.row <= {1}
        ORDER BY l.row DESC LIMIT 1)""",
    # every value of a list, which is passed as JSON
    "each": "SELECT value FROM json_each(:{0})",
    # the sources that are superseded once these are confirmed, given under these names: other
    # contents of their paths, parts that are gone, and what version 3 knew by another path
    "replaced": """SELECT id FROM source
    WHERE superseded_at IS NULL AND loaded_at IS NOT NULL AND id NOT IN ({{each {0}}})
      AND (path IN (SELECT path FROM source WHERE id IN ({{each {0}}}))
           OR id IN (SELECT source FROM part WHERE name IN ({{each {1}}}))
           OR (id NOT IN (SELECT source FROM noticed)
               AND name IN (SELECT name FROM source WHERE id IN ({{each {0}}}))))""",
    # the customer/target is one of those that are asked for; beside it stands its target, t
    "selected": """(:states IS NULL OR {0}.state IN ({{each states}}))
  AND (:codes IS NULL OR {0}.code IN ({{each codes}}))
  AND (:targets IS NULL OR t.target_group_id || '/' || t.target_id IN ({{each targets}}))
  AND ({{source_of {0}.id}} IN ({{each sources}})
       OR EXISTS (SELECT 1 FROM row r WHERE r.item = {0}.id AND r.source IN ({{each sources}})))""",
    # the customer/target has a row in a source of the run
    "in_run": """({{source_of {0}}} IN (SELECT source FROM run_source WHERE run = :run)
       OR EXISTS (SELECT 1 FROM row r JOIN run_source s ON s.source = r.source
                  WHERE r.item = {0} AND s.run = :run))""",
}

FILES: Final = ("schema", "views", "loading", "claims", "reader", "report", "proof", "moving")
SQL: Final = read_statements(__package__, FILES, MACROS)
