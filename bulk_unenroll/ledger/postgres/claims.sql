-- A run: its claims, and what is recorded of them.

-- name: recover
-- What was being sent when the program was killed is in doubt.
WITH left_behind AS (DELETE FROM flight RETURNING *),
told AS (
    INSERT INTO attempt (item, attempt, run, sent_at, outcome, code, message)
    SELECT item, attempts + 1, run, claimed_at, 'unanswered', 'killed',
           'the program ended before the answer came'
    FROM left_behind),
remarked AS (
    INSERT INTO remark (item, attempts, message, at)
    SELECT item, attempts + 1, 'the program ended before the answer came', :now FROM left_behind
    ON CONFLICT (item) DO UPDATE
    SET attempts = excluded.attempts, message = excluded.message, at = excluded.at)
INSERT INTO agenda (item, target, run, attempts, tries, not_before, doubt_at, doubtful, mismatch,
                    code)
SELECT item, target, run, attempts + 1, tries + 1, NULL, claimed_at, true, mismatch, 'killed'
FROM left_behind;

-- name: add_run
INSERT INTO run (run_id, command, sources, started_at, started_by, joinable)
VALUES (:run_id, :command, :sources, :now, :started_by, :joinable) RETURNING id;

-- name: end_run
-- The last sender ends it; before that it goes on, whatever this one came to. Who was told to end
-- by itself leaves it to the next one.
UPDATE run SET ended_at = :now, exit_code = :exit_code, reason = :reason
WHERE id = :run AND (:for_all OR stop_code IS NOT NULL) AND NOT EXISTS (
    SELECT 1 FROM sender s WHERE s.run = :run AND s.id <> :sender
    AND s.ended_at IS NULL AND s.fenced_at IS NULL);

-- name: expired_backoffs
UPDATE agenda SET not_before = 0 WHERE not_before > 0 AND NOT doubtful AND not_before <= :now;

-- name: backoffs_by_a_clock_ahead
UPDATE agenda g SET not_before = :now
WHERE not_before > :now AND NOT doubtful
  AND (not_before > :now::float8 + :longest
       OR (SELECT s.updated_at FROM standing s WHERE s.id = g.item) > :now);

-- name: end_backoffs
UPDATE agenda SET not_before = :now WHERE not_before > :now AND NOT doubtful;

-- name: schedule_doubts
UPDATE agenda a SET not_before = CASE
    WHEN NOT {in_sources a.item} THEN NULL
    WHEN doubt_at IS NULL THEN coalesce(not_before, :now)
    WHEN :resend AND doubt_at > :cutoff AND doubt_at <= :now
        THEN least(coalesce(not_before, :now), :now::float8 + :longest)
END
WHERE doubtful;

-- name: park_stale_doubts
UPDATE agenda SET not_before = NULL
WHERE not_before > 0 AND not_before <= :now AND doubtful AND doubt_at <= :cutoff;

-- name: age_doubts
-- 0: nobody knows when it was sent.
UPDATE agenda SET not_before = NULL, doubt_at = 0
WHERE not_before > 0 AND doubtful AND doubt_at IS NOT NULL;

-- name: plan_by_index
-- Statistics of tables that fill and empty within seconds mislead: whatever they say, a turn looks
-- up what it needs by its key, in the order of an index, and is not planned anew.
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
       set_config('plan_cache_mode', 'force_generic_plan', true);

-- name: claim
WITH due AS MATERIALIZED ({due}),
fresh AS MATERIALIZED ({fresh} LIMIT greatest(:most - (SELECT count(*) FROM due), 0)),
chosen AS (SELECT * FROM due UNION ALL SELECT * FROM fresh),
{flown};

-- name: claim_due
WITH chosen AS MATERIALIZED ({due}),
{flown};

-- name: claim_in_line
WITH chosen AS MATERIALIZED ({in_line} LIMIT :most),
{flown};

-- name: claim_fresh
WITH chosen AS MATERIALIZED ({fresh} LIMIT :most),
{flown};

-- name: claim_fresh_known
WITH chosen AS MATERIALIZED ({fresh_known} LIMIT :most),
{flown};

-- name: claim_fresh_of_target
WITH chosen AS MATERIALIZED ({fresh_of_target} LIMIT 1),
{flown};

-- name: in_line
SELECT place FROM ({in_line} LIMIT 1) first;

-- name: fresh
SELECT place FROM ({fresh} LIMIT 1) first;

-- name: fresh_known
SELECT place FROM ({fresh_known} LIMIT 1) first;

-- name: next_due
{waiting} ORDER BY a.not_before LIMIT 1;

-- name: is_any_left
-- Whether a call waits, or others have calls. Asked as of one moment, for calls go from one place to
-- another while a turn goes on. A slice that is nobody's, and could not be taken, is being taken.
SELECT EXISTS ({waiting})
    OR EXISTS (SELECT 1 FROM slice
               WHERE run = :run AND NOT done AND sender IS DISTINCT FROM :sender)
    OR EXISTS (SELECT 1 FROM sender s JOIN flight f ON f.sender = s.id
               WHERE s.run = :run AND s.id <> :sender AND s.ended_at IS NULL
                 AND s.fenced_at IS NULL);

-- name: targets_of_ledger
SELECT target, min(first_item) FROM share GROUP BY target ORDER BY min(first_item);

-- name: record
-- Each entry looks up its intent: two sets joined with each other could be walked n * n times.
WITH entry AS MATERIALIZED (
    SELECT e.*, f.target, f.run, f.attempts, f.tries, f.doubt_at AS older_doubt_at,
           f.doubtful AS was_doubtful
    FROM unnest(:items::bigint[], :states::state[], :not_before::float8[], :charged::integer[],
                :mismatch::boolean[], :old::boolean[], :sent_at::float8[], :answered_at::float8[],
                :outcomes::text[], :codes::text[], :messages::text[], :http_status::integer[],
                :request_ids::text[])
         AS e (item, state, not_before, charged, mismatch, old, sent_at, answered_at, outcome, code,
               message, http_status, request_id)
    CROSS JOIN LATERAL (SELECT * FROM flight WHERE flight.item = e.item OFFSET 0) f),
landed AS (DELETE FROM flight WHERE item = ANY (:items::bigint[]) RETURNING 1),
told AS (
    INSERT INTO attempt (item, attempt, run, sent_at, answered_at, outcome, code, message,
                         http_status, request_id)
    SELECT item, attempts + 1, run, sent_at, answered_at, outcome, code, message, http_status,
           request_id
    FROM entry),
settled AS (
    INSERT INTO outcome (item, target, attempts, state, doubtful, mismatch, code)
    SELECT item, target, attempts + 1, state, was_doubtful AND state = 'review', mismatch, code
    FROM entry WHERE state NOT IN ('pending', 'in_doubt')),
waiting AS (
    INSERT INTO agenda (item, target, run, attempts, tries, not_before, doubt_at, doubtful,
                        mismatch, code)
    SELECT item, target, run, attempts + 1, tries + charged, not_before,
           CASE WHEN outcome <> 'unanswered' THEN older_doubt_at WHEN old THEN 0 ELSE sent_at END,
           state = 'in_doubt', mismatch, code
    FROM entry WHERE state IN ('pending', 'in_doubt'))
SELECT count(*) FROM landed;

-- name: release
WITH entry AS MATERIALIZED (
    SELECT e.item, e.state, e.not_before, e.old, coalesce(e.code, f.code) AS code, f.target, f.run,
           f.attempts, f.tries, f.doubt_at, f.doubtful, f.mismatch, e.message
    FROM unnest(:items::bigint[], :states::state[], :not_before::float8[], :old::boolean[],
                :codes::text[], :messages::text[]) AS e (item, state, not_before, old, code, message)
    CROSS JOIN LATERAL (SELECT * FROM flight WHERE flight.item = e.item OFFSET 0) f),
landed AS (DELETE FROM flight WHERE item = ANY (:items::bigint[]) RETURNING 1),
remarked AS (
    INSERT INTO remark (item, attempts, message, at)
    SELECT item, attempts, message, :now FROM entry WHERE state = 'blocked'
    ON CONFLICT (item) DO UPDATE
    SET attempts = excluded.attempts, message = excluded.message, at = excluded.at),
settled AS (
    INSERT INTO outcome (item, target, attempts, state, doubtful, mismatch, code)
    SELECT item, target, attempts, state, doubtful, mismatch, code
    FROM entry WHERE state NOT IN ('pending', 'in_doubt')),
waiting AS (
    INSERT INTO agenda (item, target, run, attempts, tries, not_before, doubt_at, doubtful,
                        mismatch, code)
    SELECT item, target, run, attempts, tries, not_before, CASE WHEN old THEN 0 ELSE doubt_at END,
           doubtful, mismatch, code
    FROM entry WHERE state IN ('pending', 'in_doubt'))
SELECT count(*) FROM landed;

-- name: hold_claims
-- A claim that is not yet committed cannot be seen: so nobody claims while others are settled.
LOCK TABLE flight IN SHARE ROW EXCLUSIVE MODE;

-- name: tell_block
INSERT INTO block (run, sender, org_id, target_group_id, target_id, code, message)
VALUES (:run, :sender, :org, :group, :target, :code, :message);

-- name: settle_blocked
-- What is pending among the next customers/targets of a block. A piece is small, so that others
-- wait for a moment only. What is known of each is looked up by its key, as in `record`.
WITH open AS MATERIALIZED (
    SELECT * FROM block WHERE run = :run AND settled_to IS NOT NULL ORDER BY id LIMIT 1),
piece AS MATERIALIZED (
    SELECT i.id, i.target FROM open o CROSS JOIN LATERAL (
        SELECT id, target FROM item WHERE id > o.settled_to ORDER BY id LIMIT {piece}) i),
meant AS MATERIALIZED (
    SELECT p.id, p.target, coalesce(a.attempts, 0) AS attempts,
           coalesce(a.mismatch, false) AS mismatch
    FROM piece p
    LEFT JOIN LATERAL (SELECT * FROM agenda WHERE agenda.item = p.id OFFSET 0) a ON true
    WHERE p.target = ANY (ARRAY(
            SELECT t.id FROM target t JOIN open o
            ON t.org_id = o.org_id AND t.target_group_id = o.target_group_id
            AND (o.target_id IS NULL OR t.target_id = o.target_id)))
      AND a.doubtful IS NOT TRUE
      AND (SELECT true FROM outcome o WHERE o.item = p.id LIMIT 1) IS NULL
      AND (SELECT true FROM flight f WHERE f.item = p.id LIMIT 1) IS NULL
      AND {in_run p.id}),
gone AS (DELETE FROM agenda WHERE item = ANY (ARRAY(SELECT id FROM meant))),
remarked AS (
    INSERT INTO remark (item, attempts, message, at)
    SELECT m.id, m.attempts, o.message, :now FROM meant m CROSS JOIN open o
    ON CONFLICT (item) DO UPDATE
    SET attempts = excluded.attempts, message = excluded.message, at = excluded.at),
settled AS (
    INSERT INTO outcome (item, target, attempts, state, doubtful, mismatch, code)
    SELECT m.id, m.target, m.attempts, 'blocked', false, m.mismatch, o.code
    FROM meant m CROSS JOIN open o)
UPDATE block b SET settled_to = CASE
    WHEN (SELECT count(*) FROM piece) = {piece} THEN (SELECT max(id) FROM piece) END
FROM open o WHERE b.id = o.id
RETURNING (SELECT count(*) FROM meant), b.settled_to IS NULL;

-- name: reopen
WITH meant AS MATERIALIZED (
    SELECT s.*, coalesce(o.doubtful, g.doubtful) AS doubtful
    FROM standing s
    LEFT JOIN outcome o ON o.item = s.id LEFT JOIN agenda g ON g.item = s.id
    JOIN target t ON t.id = s.target
    WHERE (o.state = ANY (:states::state[])
           OR (g.doubtful AND 'in_doubt' = ANY (:states::state[])))
      AND (:codes::text[] IS NULL OR s.code = ANY (:codes::text[]))
      AND (:targets::text[] IS NULL
           OR t.target_group_id || '/' || t.target_id = ANY (:targets::text[]))
      AND ({source_of s.id} IN (SELECT id FROM source
                                WHERE confirmed_at IS NOT NULL AND superseded_at IS NULL)
           OR EXISTS (SELECT 1 FROM row r JOIN source c ON c.id = r.source
                      WHERE r.item = s.id AND c.confirmed_at IS NOT NULL
                        AND c.superseded_at IS NULL))),
unsettled AS (DELETE FROM outcome WHERE item IN (SELECT id FROM meant)),
remarked AS (
    INSERT INTO remark (item, attempts, message, at)
    SELECT id, attempts, CASE WHEN doubtful THEN message END, :now FROM meant
    ON CONFLICT (item) DO UPDATE
    SET attempts = excluded.attempts, message = excluded.message, at = excluded.at)
INSERT INTO agenda AS g (item, target, attempts, tries, not_before, doubtful, mismatch, code)
SELECT id, target, attempts, 0, CASE WHEN doubtful THEN :now::float8 ELSE 0 END, doubtful, mismatch,
       CASE WHEN doubtful THEN code END
FROM meant
ON CONFLICT (item) DO UPDATE
SET tries = 0, not_before = excluded.not_before, doubt_at = NULL;
