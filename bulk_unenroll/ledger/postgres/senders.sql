-- Senders of a run: who they are, what they share, who is given up.

-- name: add_sender
INSERT INTO sender (run, name) VALUES (:run, :name) RETURNING id;

-- name: open_run
-- The last one alone: an earlier one that a kill ended was gone on with since.
SELECT id, run_id, sources FROM run
WHERE id = (SELECT max(id) FROM run) AND ended_at IS NULL AND stop_code IS NULL AND joinable;

-- name: add_slices
-- Of each source what stands first there, then what it repeats of others: each customer/target is
-- in one slice, so that no two senders come upon it. Where an earlier run has tried all, only those
-- are looked for that wait to be called in the order of rows; such slices are as long as they get.
WITH cut AS (
    SELECT c.id AS source, array_position(:sources::bigint[], c.id) AS at, f.first,
           least(f.first + {size} - 1, c.row_count) AS until
    FROM source c CROSS JOIN LATERAL generate_series(1, c.row_count, {size}) f (first)
    WHERE c.id = ANY (:sources::bigint[])),
looked_up AS (
    SELECT cut.*, EXISTS (SELECT 1 FROM slice s
                          WHERE s.all_tried AND s.after_place = {place cut.source, cut.first} - 1
                            AND s.last_place = {place cut.source, cut.until}) AS tried
    FROM cut),
stretched AS (
    SELECT *, CASE WHEN tried THEN row_number() OVER (PARTITION BY source ORDER BY first)
                   - row_number() OVER (PARTITION BY source, tried ORDER BY first)
              ELSE -first END AS stretch
    FROM looked_up)
INSERT INTO slice (run, kind, after_place, last_place)
SELECT :run, c.kind, {place c.source, c.first} - 1, {place c.source, c.until}
FROM (
    SELECT source, at, CASE WHEN tried THEN 'in_line' ELSE 'fresh' END AS kind, min(first) AS first,
           max(until) AS until
    FROM stretched GROUP BY source, at, tried, stretch
    UNION ALL
    SELECT source, at, 'fresh_known', first, until FROM cut
    WHERE EXISTS (SELECT 1 FROM row r
                  WHERE r.source = cut.source AND r.item IS NOT NULL AND r.repeats IS NULL)) c
ORDER BY c.at, c.kind = 'fresh_known', c.first;

-- name: take_slice
UPDATE slice SET sender = :sender WHERE id = (
    SELECT id FROM slice WHERE run = :run AND (sender IS NULL OR sender = :sender) AND NOT done
    ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id, kind, after_place, last_place;

-- name: slice_done
UPDATE slice SET done = true, all_tried = :all_tried AND kind = 'fresh' WHERE id = :slice;

-- name: fence
SELECT fence(:sender, :turn, :settled, :bad, :not_enrolled);

-- name: others
SELECT r.stop_code, r.stop_reason, o.settled, o.bad, o.not_enrolled, o.senders,
       b.told, b.last, b.unsettled, o.turns, extract(epoch FROM clock_timestamp())::float8
FROM run r CROSS JOIN LATERAL (
    SELECT json_agg(json_build_array(nullif(org_id, 0), target_group_id, target_id, code, message)
                    ORDER BY id) FILTER (WHERE id > :heard AND sender <> :sender) AS told,
           coalesce(max(id), 0) AS last,
           coalesce(bool_or(settled_to IS NOT NULL), false) AS unsettled
    FROM block WHERE run = r.id) b
CROSS JOIN LATERAL (
    SELECT coalesce(sum(settled), 0)::bigint AS settled, coalesce(sum(bad), 0)::bigint AS bad,
           coalesce(sum(not_enrolled), 0)::bigint AS not_enrolled,
           count(*) FILTER (WHERE ended_at IS NULL AND fenced_at IS NULL) AS senders,
           coalesce(sum(turn), 0)::bigint AS turns
    FROM sender WHERE run = r.id AND id <> :sender) o
WHERE r.id = :run;

-- name: last_run
SELECT r.run_id, coalesce(sum(s.turn), 0)::bigint,
       CASE WHEN r.ended_at IS NULL AND r.stop_code IS NULL
            THEN extract(epoch FROM clock_timestamp()
                         - coalesce(max(s.seen_at), to_timestamp(r.started_at)))::float8 END
FROM run r LEFT JOIN sender s ON s.run = r.id
WHERE r.id = (SELECT max(id) FROM run) GROUP BY r.id;

-- name: turns_of_run
SELECT coalesce(sum(s.turn), 0)::bigint
FROM run r LEFT JOIN sender s ON s.run = r.id WHERE r.run_id = :run_id GROUP BY r.id;

-- name: note_restored
INSERT INTO meta (name, value)
VALUES ('restored', extract(epoch FROM clock_timestamp())::float8::text)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: stop_run
UPDATE run SET stop_code = :code, stop_reason = :reason WHERE id = :run AND stop_code IS NULL;

-- name: stop_open_run
UPDATE run SET stop_code = :code, stop_reason = :reason
WHERE ended_at IS NULL AND stop_code IS NULL;

-- name: canary_passed
UPDATE run SET canary_passed_at = extract(epoch FROM clock_timestamp())::float8
WHERE id = :run AND canary_passed_at IS NULL;

-- name: touch
UPDATE sender SET seen_at = clock_timestamp()
WHERE id = :sender AND fenced_at IS NULL AND ended_at IS NULL;

-- name: lock_run
-- A condition on other rows is not checked anew after a wait for a lock: so the wait comes first,
-- in a statement of its own, and the next one sees what the other process did.
SELECT FROM run WHERE id = :run FOR UPDATE;

-- name: take_canary
-- Whoever made the first calls and is gone has left them to others.
UPDATE run SET canary_sender = :sender
WHERE id = :run AND canary_passed_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM sender s WHERE s.id = canary_sender AND s.id <> :sender
                  AND s.fenced_at IS NULL AND s.ended_at IS NULL);

-- name: part
SELECT canary_passed_at IS NOT NULL, canary_sender = :sender, stop_code IS NOT NULL
FROM run WHERE id = :run;

-- name: reap
-- Gives up senders that took no turn for too long. One that is locked is within a turn: it lives,
-- or the server will soon end its transaction.
UPDATE sender SET fenced_at = clock_timestamp()
WHERE id = ANY (ARRAY(
    SELECT id FROM sender
    WHERE run = :run AND id <> :sender AND fenced_at IS NULL AND ended_at IS NULL
      AND seen_at < clock_timestamp() - make_interval(secs => :ttl)
    FOR UPDATE SKIP LOCKED))
RETURNING id;

-- name: take_over
-- What a lost sender had in flight is in doubt, and is sent again by the same rule as after a kill.
WITH left_behind AS (DELETE FROM flight WHERE sender = ANY (:lost::bigint[]) RETURNING *),
told AS (
    INSERT INTO attempt (item, attempt, run, sent_at, outcome, code, message)
    SELECT item, attempts + 1, run, claimed_at, 'unanswered', 'sender_lost',
           'its sender was lost before the answer came'
    FROM left_behind),
remarked AS (
    INSERT INTO remark (item, attempts, message, at)
    SELECT item, attempts + 1, 'its sender was lost before the answer came', :now FROM left_behind
    ON CONFLICT (item) DO UPDATE
    SET attempts = excluded.attempts, message = excluded.message, at = excluded.at),
freed AS (UPDATE slice SET sender = NULL WHERE sender = ANY (:lost::bigint[]) AND NOT done)
INSERT INTO agenda (item, target, run, attempts, tries, not_before, doubt_at, doubtful, mismatch,
                    code)
SELECT item, target, run, attempts + 1, tries + 1,
       CASE WHEN claimed_at > :cutoff THEN :now::float8 END, claimed_at, true, mismatch,
       'sender_lost'
FROM left_behind;

-- name: leave
WITH gone AS (UPDATE sender SET ended_at = clock_timestamp()
              WHERE id = :sender AND fenced_at IS NULL AND ended_at IS NULL)
UPDATE slice SET sender = NULL WHERE sender = :sender AND NOT done;

-- name: live_senders
-- While the server itself was away nobody could be seen: that is nobody's silence.
SELECT id, name, extract(epoch FROM seen_at)::float8,
       extract(epoch FROM clock_timestamp() - greatest(seen_at, pg_postmaster_start_time()))::float8
FROM sender WHERE fenced_at IS NULL AND ended_at IS NULL ORDER BY id;

-- name: give_up_all
UPDATE sender SET fenced_at = clock_timestamp() WHERE fenced_at IS NULL AND ended_at IS NULL;

-- name: free_slices
UPDATE slice SET sender = NULL WHERE NOT done AND sender IS NOT NULL;

-- name: my_turn
SELECT turn, fenced_at IS NOT NULL OR ended_at IS NOT NULL FROM sender WHERE id = :sender;

-- name: my_flights
-- What a turn claimed whose answer was lost.
SELECT f.item, t.org_id, t.target_group_id, t.target_id, i.customer_id, f.tries, f.doubtful, f.item
FROM flight f JOIN item i ON i.id = f.item JOIN target t ON t.id = f.target
WHERE f.sender = :sender AND f.claimed_at = :now ORDER BY f.item;

-- name: shared
CREATE SCHEMA IF NOT EXISTS bulk_unenroll;
CREATE TABLE IF NOT EXISTS bulk_unenroll.pace ( -- the starts of a credential, given away in order
    credential   text PRIMARY KEY,              -- user and host, never a secret
    next_at      float8 NOT NULL,               -- the next start that is not given away
    paused_until float8 NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS bulk_unenroll.ask (  -- who asks for starts, and how far apart
    credential text NOT NULL,
    job        text NOT NULL,
    interval_s float8 NOT NULL,
    seen_at    timestamptz NOT NULL,
    PRIMARY KEY (credential, job)
);

-- name: has_shared
SELECT to_regclass('bulk_unenroll.ask') IS NOT NULL;

-- name: add_pace
INSERT INTO bulk_unenroll.pace (credential, next_at) VALUES (:credential, 0) ON CONFLICT DO NOTHING;

-- name: ask
INSERT INTO bulk_unenroll.ask (credential, job, interval_s, seen_at)
VALUES (:credential, :job, :interval, clock_timestamp())
ON CONFLICT (credential, job) DO UPDATE
SET interval_s = excluded.interval_s, seen_at = excluded.seen_at;

-- name: interval
SELECT max(interval_s) FROM bulk_unenroll.ask
WHERE credential = :credential
  AND (job = :job OR seen_at > clock_timestamp() - make_interval(secs => :asks_for));

-- name: still_asking
UPDATE bulk_unenroll.ask SET seen_at = clock_timestamp()
WHERE credential = :credential AND job = :job AND seen_at < clock_timestamp() - interval '2 seconds';

-- name: grant
-- The time is asked again once the row is locked: another turn may have held it.
UPDATE bulk_unenroll.pace p
SET next_at = greatest(p.next_at, n.now + :lead, p.paused_until) + n.interval_s * :starts
FROM (SELECT extract(epoch FROM clock_timestamp())::float8 AS now, max(a.interval_s) AS interval_s
      FROM bulk_unenroll.ask a
      WHERE a.credential = :credential
        AND (a.job = :job OR a.seen_at > clock_timestamp() - make_interval(secs => :asks_for))) n
WHERE p.credential = :credential
RETURNING p.next_at - n.interval_s * :starts, n.interval_s,
          extract(epoch FROM clock_timestamp())::float8;

-- name: pause
UPDATE bulk_unenroll.pace
SET paused_until = greatest(paused_until, extract(epoch FROM clock_timestamp())::float8 + :pause)
WHERE credential = :credential;
