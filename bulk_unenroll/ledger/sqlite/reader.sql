-- Questions for plan, status, results and explain.

-- name: get_meta
SELECT value FROM meta WHERE name = :name;

-- name: sources
SELECT id, name, path, sha256, row_count, header, confirmed_at, superseded_at
FROM source WHERE loaded_at IS NOT NULL ORDER BY id;

-- name: facts_noticed
SELECT source, facts FROM noticed WHERE source IN ({each sources});

-- name: line_of_row
SELECT {line_of :source, :row};

-- name: last_alarms
SELECT alarms FROM alarm_round ORDER BY id DESC LIMIT 1;

-- name: runs
SELECT run_id, command, started_by, started_at, ended_at, exit_code, reason FROM run ORDER BY id;

-- name: recent_starts
SELECT sent_at, answered_at FROM attempt ORDER BY id DESC;

-- name: has_other_orgs
SELECT CASE WHEN EXISTS (SELECT 1 FROM target WHERE org_id <> 0) THEN EXISTS (
    SELECT 1 FROM item WHERE state IN ('pending', 'in_doubt')
    AND target IN (SELECT id FROM target WHERE org_id <> 0)) ELSE 0 END;

-- name: row_counts
SELECT (SELECT coalesce(sum(row_count), 0) FROM source WHERE id IN ({each sources})),
       (SELECT count(*) FROM row WHERE source IN ({each sources}) AND item IS NULL);

-- name: readings
SELECT DISTINCT reading FROM source WHERE id IN ({each sources});

-- name: has_judged
SELECT EXISTS (SELECT 1 FROM attempt WHERE outcome NOT IN ('halted', 'refused'))
    OR EXISTS (SELECT 1 FROM item WHERE state = 'sending');

-- name: withdrawn_count
SELECT count(*) FROM item WHERE state = 'withdrawn';

-- name: doubts_left
SELECT count(*) FROM item WHERE state = 'in_doubt';

-- name: counts_by_target
-- What is pending was never counted: it is what was planned, less what has changed since.
WITH
    asked (source) AS ({each sources}),
    planned (target, number) AS (
        SELECT target, sum(items) FROM share
        WHERE source IN (SELECT source FROM asked) GROUP BY target),
    changed (target, state, code, number, customer_id, attempts, mismatches) AS (
        SELECT target, state, code, count(*), min(customer_id), sum(attempts), sum(mismatch)
        FROM item
        WHERE (state <> 'pending' OR run IS NOT NULL)
          AND {source_of id} IN (SELECT source FROM asked)
        GROUP BY target, state, code),
    known (target, state, code, number, customer_id, attempts, mismatches) AS (
        SELECT target, state, code, count(*), min(customer_id), sum(attempts), sum(mismatch)
        FROM item
        WHERE id IN (SELECT item FROM row
                     WHERE source IN (SELECT source FROM asked) AND repeats IS NULL
                       AND {source_of item} NOT IN (SELECT source FROM asked))
        GROUP BY target, state, code),
    every (target, state, code, number, customer_id, attempts, mismatches) AS (
        SELECT target, 'pending', NULL,
               number - coalesce((SELECT sum(number) FROM changed c WHERE c.target = p.target), 0),
               NULL, 0, 0
        FROM planned p
        UNION ALL SELECT * FROM changed
        UNION ALL SELECT * FROM known)
SELECT nullif(t.org_id, 0), t.target_group_id, t.target_id, e.state, e.code, sum(e.number),
       min(e.customer_id), sum(e.attempts), sum(e.mismatches)
FROM every e JOIN target t ON t.id = e.target
WHERE e.number <> 0
GROUP BY t.id, e.state, e.code ORDER BY t.id;

-- name: callable_doubts
SELECT count(*) FROM item i
WHERE i.state = 'in_doubt'
  AND (doubt_at IS NULL OR (:resend AND doubt_at > :cutoff AND doubt_at <= :now))
  AND ({source_of i.id} IN ({each sources})
       OR i.id IN (SELECT item FROM row WHERE source IN ({each sources})
                   AND item IS NOT NULL AND repeats IS NULL));

-- name: invalid_counts
-- r.source is that of the row with the least number: so SQLite reads min().
SELECT c.code, c.number, c.first, f.message, s.name, {line_of c.source, c.first}
FROM (SELECT r.code, count(*) AS number, min(r.row) AS first, r.source FROM row r
      WHERE r.source IN ({each sources}) AND r.item IS NULL GROUP BY r.code) c
JOIN row f ON f.source = c.source AND f.row = c.first JOIN source s ON s.id = c.source
ORDER BY c.number DESC;

-- name: swapped_before
SELECT count(*) FROM target n JOIN target o
ON o.target_group_id = n.target_id AND o.target_id = n.target_group_id
WHERE n.target_id <> n.target_group_id
  AND EXISTS (SELECT 1 FROM item i WHERE i.target = o.id AND i.state = 'succeeded')
  AND (EXISTS (SELECT 1 FROM share WHERE target = n.id AND source IN ({each sources}))
       OR EXISTS (SELECT 1 FROM row r JOIN item i ON i.id = r.item
                  WHERE i.target = n.id AND r.source IN ({each sources})));

-- name: gone
WITH replaced AS ({replaced sources, given}),
staying AS (
    SELECT id FROM source
    WHERE superseded_at IS NULL AND id NOT IN (SELECT id FROM replaced))
SELECT CASE WHEN EXISTS (SELECT 1 FROM replaced) THEN (
    SELECT count(*) FROM item i
    WHERE i.state = 'pending' AND i.attempts = 0
      AND ({source_of i.id} IN (SELECT id FROM replaced)
           OR i.id IN (SELECT item FROM row WHERE source IN (SELECT id FROM replaced)))
      AND {source_of i.id} NOT IN (SELECT id FROM staying)
      AND NOT EXISTS (SELECT 1 FROM row r WHERE r.item = i.id
                      AND r.source IN (SELECT id FROM staying))) ELSE 0 END;

-- name: known_before
WITH confirmed AS (
    SELECT id FROM source WHERE confirmed_at IS NOT NULL AND id NOT IN ({each sources}))
SELECT count(*) FROM (
    SELECT r.item FROM row r
    WHERE r.source IN ({each sources}) AND r.item IS NOT NULL
      AND ({source_of r.item} IN (SELECT id FROM confirmed)
           OR EXISTS (SELECT 1 FROM row o WHERE o.item = r.item
                      AND o.source IN (SELECT id FROM confirmed)))
    UNION
    SELECT o.item FROM row o
    WHERE o.source IN (SELECT id FROM confirmed) AND {source_of o.item} IN ({each sources}));

-- name: result_rows
SELECT source, row, org_id, target_group_id, target_id, customer_id, status, code, message,
       http_status, attempts, updated_at, request_id, place
FROM first_row
WHERE place BETWEEN :first AND :last
  AND (:states IS NULL OR status IN ({each states}))
  AND (:codes IS NULL OR code IN ({each codes}))
  AND (:targets IS NULL OR target_group_id || '/' || target_id IN ({each targets}))
ORDER BY place;

-- name: other_result_rows
SELECT source, row, org_id, target_group_id, target_id, customer_id, status, code, message,
       http_status, attempts, updated_at, request_id, place
FROM other_row
WHERE source_id = {source_of :first}
  AND row BETWEEN ({row_of :first}) AND ({row_of :last})
  AND (:states IS NULL OR status IN ({each states}))
  AND (:codes IS NULL OR code IN ({each codes}))
  AND (:targets IS NULL OR target_group_id || '/' || target_id IN ({each targets}))
ORDER BY row;

-- name: attempt_rows
SELECT nullif(t.org_id, 0), t.target_group_id, t.target_id, i.customer_id, a.attempt, u.run_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.sent_at, 'unixepoch'),
       strftime('%Y-%m-%dT%H:%M:%fZ', a.answered_at, 'unixepoch'),
       a.outcome, a.code, a.http_status, a.request_id, a.id
FROM attempt a
CROSS JOIN item i ON i.id = a.item
CROSS JOIN target t ON t.id = i.target
CROSS JOIN run u ON u.id = a.run
WHERE a.id > :after
  AND {selected i}
ORDER BY a.id LIMIT :most;

-- name: attempts_on_their_way
SELECT nullif(t.org_id, 0), t.target_group_id, t.target_id, i.customer_id, i.attempts + 1, u.run_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', i.claimed_at, 'unixepoch'),
       NULL, 'unanswered', NULL, NULL, NULL
FROM item i
CROSS JOIN target t ON t.id = i.target
CROSS JOIN run u ON u.id = i.run
WHERE i.state = 'sending'
  AND {selected i}
ORDER BY i.claimed_at;

-- name: chunks
SELECT id FROM chunk WHERE {of_source id, :source} ORDER BY id;

-- name: chunk_cells
SELECT cells FROM chunk WHERE id = :place;

-- name: ragged_cells
SELECT {place source, row}, cells FROM row
WHERE source = {source_of :first}
  AND row BETWEEN ({row_of :first}) AND ({row_of :last})
  AND cells IS NOT NULL ORDER BY row;

-- name: rows_of_customer
SELECT s.name, s.sha256, r.row, nullif(t.org_id, 0), t.target_group_id, t.target_id,
       CASE WHEN r.repeats IS NOT NULL THEN 'duplicate' ELSE r.state END,
       CASE WHEN r.repeats IS NULL THEN r.code END,
       CASE WHEN r.repeats IS NOT NULL THEN 'repeats row ' || r.repeats ELSE r.message END,
       CASE WHEN s.superseded_at IS NOT NULL THEN 'superseded'
            WHEN s.confirmed_at IS NOT NULL THEN 'confirmed' ELSE 'planned' END,
       {line_of r.source, r.row}
FROM (
    SELECT {source_of id} AS source, {row_of id} AS row, NULL AS repeats, target, state, code,
           message
    FROM item WHERE customer_id = :customer
    UNION ALL
    SELECT o.source, o.row, o.repeats, i.target, i.state, i.code, i.message
    FROM item i JOIN row o ON o.item = i.id WHERE i.customer_id = :customer) r
JOIN target t ON t.id = r.target JOIN source s ON s.id = r.source
ORDER BY s.id, r.row;

-- name: attempts_of_customer
SELECT org_id, target_group_id, target_id, attempt, run_id, sent_at, answered_at, outcome, code,
       http_status, request_id
FROM attempt_history WHERE customer_id = :customer ORDER BY sent_at;

