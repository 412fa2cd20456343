-- Questions for plan, status, results and explain.

-- name: get_meta
SELECT value FROM meta WHERE name = :name;

-- name: sources
SELECT id, name, path, sha256, row_count, header, confirmed_at, superseded_at
FROM source ORDER BY id;

-- name: facts_noticed
SELECT id, noticed FROM source WHERE id = ANY (:sources::bigint[]);

-- name: line_of_row
SELECT {line_of :source, :row};

-- name: last_alarms
SELECT alarms FROM alarm_round ORDER BY id DESC LIMIT 1;

-- name: runs
SELECT run_id, command, started_by, started_at, ended_at, exit_code, reason FROM run ORDER BY id;

-- name: senders
SELECT name, extract(epoch FROM joined_at)::float8, extract(epoch FROM seen_at)::float8, settled,
       extract(epoch FROM clock_timestamp() - seen_at)::float8
FROM sender WHERE fenced_at IS NULL AND ended_at IS NULL ORDER BY id;

-- name: recent_starts
SELECT sent_at FROM attempt WHERE sent_at > :since ORDER BY sent_at DESC;

-- name: has_other_orgs
SELECT EXISTS (SELECT 1 FROM target WHERE org_id <> 0) AND EXISTS (
    SELECT 1 FROM item i
    WHERE i.target IN (SELECT id FROM target WHERE org_id <> 0)
      AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.item = i.id)
      AND NOT EXISTS (SELECT 1 FROM flight f WHERE f.item = i.id));

-- name: row_counts
SELECT (SELECT coalesce(sum(row_count), 0)::bigint FROM source
        WHERE id = ANY (:sources::bigint[])),
       (SELECT count(*) FROM row WHERE source = ANY (:sources::bigint[]) AND item IS NULL);

-- name: readings
SELECT DISTINCT reading FROM source WHERE id = ANY (:sources::bigint[]);

-- name: has_judged
SELECT EXISTS (SELECT 1 FROM attempt WHERE outcome NOT IN ('halted', 'refused'))
    OR EXISTS (SELECT 1 FROM flight);

-- name: withdrawn_count
SELECT count(*) FROM outcome WHERE state = 'withdrawn';

-- name: doubts_left
SELECT count(*) FROM agenda WHERE doubtful;

-- name: counts_by_target
-- What is pending was never counted: it is what was planned, less what has changed since.
WITH
    planned AS (
        SELECT target, sum(items)::bigint AS number FROM share
        WHERE source = ANY (:sources::bigint[]) GROUP BY target),
    changed AS (
        SELECT target, state, code, count(*) AS number, min(item) AS item,
               sum(attempts)::bigint AS attempts, count(*) FILTER (WHERE mismatch) AS mismatches
        FROM touched WHERE {source_of item} = ANY (:sources::bigint[])
        GROUP BY target, state, code),
    known AS (
        SELECT target, state, code, count(*) AS number, min(id) AS item,
               sum(attempts)::bigint AS attempts, count(*) FILTER (WHERE mismatch) AS mismatches
        FROM standing
        WHERE id IN (SELECT item FROM row
                     WHERE source = ANY (:sources::bigint[]) AND repeats IS NULL
                       AND {source_of item} <> ALL (:sources::bigint[]))
        GROUP BY target, state, code),
    every AS (
        SELECT p.target, 'pending'::state AS state, NULL::text AS code,
               p.number - coalesce((SELECT sum(c.number)::bigint FROM changed c
                                    WHERE c.target = p.target), 0) AS number,
               NULL::bigint AS item, 0 AS attempts, 0 AS mismatches
        FROM planned p
        UNION ALL SELECT * FROM changed
        UNION ALL SELECT * FROM known)
SELECT nullif(t.org_id, 0), t.target_group_id, t.target_id, e.state::text, e.code,
       sum(e.number)::bigint, (SELECT i.customer_id FROM item i WHERE i.id = min(e.item)),
       sum(e.attempts)::bigint, sum(e.mismatches)::bigint
FROM every e JOIN target t ON t.id = e.target
WHERE e.number <> 0
GROUP BY t.id, e.state, e.code
ORDER BY t.place, t.id, e.state, e.code COLLATE "C" NULLS FIRST;

-- name: callable_doubts
SELECT count(*) FROM agenda a
WHERE a.doubtful
  AND (a.doubt_at IS NULL OR (:resend AND a.doubt_at > :cutoff AND a.doubt_at <= :now))
  AND {in_sources a.item};

-- name: invalid_counts
SELECT c.code, c.number, c.first, c.message, s.name, {line_of c.source, c.first}
FROM (SELECT DISTINCT ON (r.code) r.code, count(*) OVER (PARTITION BY r.code) AS number,
             r.row AS first, r.message, r.source
      FROM row r WHERE r.source = ANY (:sources::bigint[]) AND r.item IS NULL
      ORDER BY r.code, r.row, r.source) c
JOIN source s ON s.id = c.source
ORDER BY c.number DESC, c.code COLLATE "C";

-- name: swapped_before
SELECT EXISTS (
    SELECT 1 FROM target n JOIN target o
    ON o.target_group_id = n.target_id AND o.target_id = n.target_group_id
    WHERE n.target_id <> n.target_group_id
      AND EXISTS (SELECT 1 FROM outcome u WHERE u.target = o.id AND u.state = 'succeeded')
      AND (EXISTS (SELECT 1 FROM share h
                   WHERE h.target = n.id AND h.source = ANY (:sources::bigint[]))
           OR EXISTS (SELECT 1 FROM row r JOIN item i ON i.id = r.item
                      WHERE i.target = n.id AND r.source = ANY (:sources::bigint[]))));

-- name: gone
WITH replaced AS ({replaced sources, given}),
staying AS (
    SELECT id FROM source
    WHERE superseded_at IS NULL AND id NOT IN (SELECT id FROM replaced))
SELECT CASE WHEN EXISTS (SELECT 1 FROM replaced) THEN (
    SELECT count(*) FROM standing i
    WHERE i.state = 'pending' AND i.attempts = 0
      AND ({source_of i.id} IN (SELECT id FROM replaced)
           OR i.id IN (SELECT item FROM row
                       WHERE source IN (SELECT id FROM replaced) AND item IS NOT NULL))
      AND {source_of i.id} NOT IN (SELECT id FROM staying)
      AND NOT EXISTS (SELECT 1 FROM row r WHERE r.item = i.id
                      AND r.source IN (SELECT id FROM staying))) ELSE 0 END;

-- name: known_before
WITH confirmed AS (
    SELECT id FROM source
    WHERE confirmed_at IS NOT NULL AND id <> ALL (:sources::bigint[]))
SELECT count(*) FROM (
    SELECT r.item FROM row r
    WHERE r.source = ANY (:sources::bigint[]) AND r.item IS NOT NULL
      AND ({source_of r.item} IN (SELECT id FROM confirmed)
           OR EXISTS (SELECT 1 FROM row o WHERE o.item = r.item
                      AND o.source IN (SELECT id FROM confirmed)))
    UNION
    SELECT o.item FROM row o
    WHERE o.source IN (SELECT id FROM confirmed)
      AND {source_of o.item} = ANY (:sources::bigint[])) known;

-- name: result_rows
SELECT source, row, org_id, target_group_id, target_id, customer_id, status, code, message,
       http_status, attempts, updated_at, request_id, place
FROM first_row
WHERE place BETWEEN :first AND :last AND {shown}
ORDER BY place;

-- name: other_result_rows
SELECT source, row, org_id, target_group_id, target_id, customer_id, status, code, message,
       http_status, attempts, updated_at, request_id, place
FROM other_row
WHERE source_id = {source_of :first::bigint}
  AND row BETWEEN {row_of :first::bigint} AND {row_of :last::bigint}
  AND {shown}
ORDER BY row;

-- name: attempt_rows
SELECT nullif(t.org_id, 0), t.target_group_id, t.target_id, i.customer_id, a.attempt, u.run_id,
       {moment a.sent_at}, {moment a.answered_at},
       a.outcome, a.code, a.http_status, a.request_id, a.item
FROM attempt a
JOIN standing i ON i.id = a.item
JOIN target t ON t.id = i.target
JOIN run u ON u.id = a.run
WHERE (a.item, a.attempt) > (:item, :attempt)
  AND {selected i}
ORDER BY a.item, a.attempt LIMIT :most;

-- name: attempts_on_their_way
SELECT nullif(t.org_id, 0), t.target_group_id, t.target_id, i.customer_id, f.attempts + 1,
       u.run_id, {moment f.claimed_at}, NULL, 'unanswered', NULL, NULL, NULL
FROM flight f
JOIN standing i ON i.id = f.item
JOIN target t ON t.id = i.target
JOIN run u ON u.id = f.run
WHERE {selected i}
ORDER BY f.claimed_at, f.item;

-- name: chunks
SELECT id FROM chunk WHERE {of_source id, :source} ORDER BY id;

-- name: chunk_cells
SELECT cells FROM chunk WHERE id = :place;

-- name: ragged_cells
SELECT {place source, row}, cells FROM row
WHERE source = {source_of :first::bigint}
  AND row BETWEEN {row_of :first::bigint} AND {row_of :last::bigint}
  AND cells IS NOT NULL ORDER BY row;

-- name: rows_of_customer
SELECT s.name, s.sha256, r.row, nullif(t.org_id, 0), t.target_group_id, t.target_id,
       CASE WHEN r.repeats IS NOT NULL THEN 'duplicate' ELSE r.state::text END,
       CASE WHEN r.repeats IS NULL THEN r.code END,
       CASE WHEN r.repeats IS NOT NULL THEN 'repeats row ' || r.repeats ELSE r.message END,
       CASE WHEN s.superseded_at IS NOT NULL THEN 'superseded'
            WHEN s.confirmed_at IS NOT NULL THEN 'confirmed' ELSE 'planned' END,
       {line_of r.source, r.row}
FROM (
    SELECT {source_of id} AS source, {row_of id} AS row, NULL::bigint AS repeats, target, state,
           code, message
    FROM standing WHERE customer_id = :customer
    UNION ALL
    SELECT o.source, o.row, o.repeats, i.target, i.state, i.code, i.message
    FROM standing i JOIN row o ON o.item = i.id WHERE i.customer_id = :customer) r
JOIN target t ON t.id = r.target JOIN source s ON s.id = r.source
ORDER BY s.id, r.row;

-- name: attempts_of_customer
SELECT org_id, target_group_id, target_id, attempt, run_id, sent_at, answered_at, outcome, code,
       http_status, request_id
FROM attempt_history WHERE customer_id = :customer ORDER BY sent_at, attempt;
