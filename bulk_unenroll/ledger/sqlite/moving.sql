-- All that a ledger in PostgreSQL holds, as its tables have it: see its schema.sql.

-- name: move_meta
SELECT name, value FROM meta WHERE name NOT IN ('open', 'commits', 'move');

-- name: move_source
SELECT s.id, s.path, s.name, s.sha256, s.reading, s.header, s.loaded_at, s.confirmed_at,
       s.superseded_at, s.row_count, coalesce(n.facts, json_object()) AS noticed
FROM source s LEFT JOIN noticed n ON n.source = s.id;

-- name: move_part
SELECT name, source FROM part;

-- name: move_target
SELECT id, org_id, target_group_id, target_id FROM target;

-- name: move_item
SELECT id, customer_id, target FROM item ORDER BY id;

-- name: move_row
SELECT source, row, item, repeats, code, message, cells FROM row;

-- name: move_chunk
SELECT id, row_count, cells FROM chunk;

-- name: move_line
SELECT source, row, line FROM line;

-- name: move_share
SELECT source, target, items, first_item FROM share;

-- name: move_run
-- Its sources as an array of PostgreSQL, in braces. Nobody can join one that a kill ended.
SELECT r.id, r.run_id, r.command,
       char(123) || coalesce((SELECT group_concat(s.source) FROM run_source s WHERE s.run = r.id),
                             '') || char(125) AS sources,
       r.started_at, r.ended_at, r.exit_code, r.reason, r.started_by,
       CASE WHEN r.ended_at IS NULL THEN 3 END AS stop_code,
       CASE WHEN r.ended_at IS NULL THEN 'moved' END AS stop_reason
FROM run r;

-- name: move_attempt
SELECT item, sent_at, answered_at, run, attempt, http_status, outcome, code, message, request_id
FROM attempt ORDER BY id;

-- name: move_agenda
SELECT id AS item, target, run, attempts, tries, not_before, doubt_at,
       state = 'in_doubt' AS doubtful, mismatch, code
FROM item
WHERE state = 'in_doubt'
   OR (state = 'pending' AND NOT (attempts = 0 AND not_before IS 0 AND run IS NULL
                                  AND updated_at IS NULL AND code IS NULL));

-- name: move_outcome
SELECT id AS item, target, attempts, state, doubtful AND state = 'review' AS doubtful, mismatch,
       code, CASE WHEN state = 'withdrawn' THEN not_before END AS not_before
FROM item WHERE state NOT IN ('pending', 'in_doubt');

-- name: move_remark
-- What is said of a customer/target, where its last attempt does not say the same.
SELECT i.id AS item, i.attempts, i.message, i.updated_at AS at
FROM item i LEFT JOIN attempt a ON a.item = i.id AND a.attempt = i.attempts
WHERE i.updated_at IS NOT NULL
  AND (i.message IS NOT a.message OR i.updated_at IS NOT coalesce(a.answered_at, a.sent_at));

-- name: move_alarm_round
SELECT id, noted_at, noted_by, alarms FROM alarm_round;
