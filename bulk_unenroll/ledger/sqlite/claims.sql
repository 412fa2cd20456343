-- A run: its claims, and what is recorded of them.

-- name: recover_attempts
INSERT INTO attempt (item, attempt, run, sent_at, outcome, code, message)
SELECT id, attempts + 1, run, claimed_at, 'unanswered', 'killed',
       'the program ended before the answer came'
FROM item WHERE state = 'sending';

-- name: recover_items
UPDATE item SET state = 'in_doubt', attempts = attempts + 1, tries = tries + 1, doubtful = 1,
    doubt_at = claimed_at, claimed_at = NULL, not_before = NULL, code = 'killed',
    message = 'the program ended before the answer came', http_status = NULL, request_id = NULL,
    updated_at = :now
WHERE state = 'sending';

-- name: add_run
INSERT INTO run (run_id, command, started_at, started_by)
VALUES (:run_id, :command, :now, :started_by) RETURNING id;

-- name: add_run_source
INSERT INTO run_source (run, source) VALUES (:run, :source);

-- name: end_run
UPDATE run SET ended_at = :now, exit_code = :exit_code, reason = :reason WHERE id = :run;

-- name: expired_backoffs
UPDATE item SET not_before = 0
WHERE not_before > 0 AND state = 'pending' AND not_before <= :now;

-- name: backoffs_by_a_clock_ahead
UPDATE item SET not_before = :now
WHERE not_before > :now AND state = 'pending'
  AND (updated_at > :now OR not_before > :now + :longest);

-- name: end_backoffs
UPDATE item SET not_before = :now WHERE not_before > :now AND state = 'pending';

-- name: schedule_doubts
UPDATE item AS i SET not_before = CASE
    WHEN NOT {in_run i.id} THEN NULL
    WHEN doubt_at IS NULL THEN coalesce(not_before, :now)
    WHEN :resend AND doubt_at > :cutoff AND doubt_at <= :now
        THEN min(coalesce(not_before, :now), :now + :longest)
END
WHERE state = 'in_doubt';

-- name: park_stale_doubts
UPDATE item SET not_before = NULL
WHERE not_before > 0 AND state = 'in_doubt' AND not_before <= :now AND doubt_at <= :cutoff;

-- name: age_doubts
-- 0: nobody knows when it was sent.
UPDATE item SET not_before = NULL, doubt_at = 0
WHERE not_before > 0 AND state = 'in_doubt' AND doubt_at IS NOT NULL;

-- name: due
SELECT i.id, t.org_id, t.target_group_id, t.target_id, i.customer_id,
       CASE WHEN i.run = :run THEN i.tries ELSE 0 END, i.doubtful
FROM item i JOIN target t ON t.id = i.target
WHERE i.state IN ('pending', 'in_doubt') AND i.not_before > 0 AND i.not_before <= :now
  AND (:only IS NULL OR i.id IN ({each only}))
  AND t.org_id NOT IN ({each halted})
  AND {in_run i.id}
ORDER BY i.not_before LIMIT :most;

-- name: next_due
SELECT i.not_before FROM item i JOIN target t ON t.id = i.target
WHERE i.state IN ('pending', 'in_doubt') AND i.not_before > 0
  AND (:only IS NULL OR i.id IN ({each only}))
  AND t.org_id NOT IN ({each halted})
  AND {in_run i.id}
ORDER BY i.not_before LIMIT 1;

-- name: fresh
SELECT i.id, t.org_id, t.target_group_id, t.target_id, i.customer_id, 0, i.doubtful, i.id
FROM item i CROSS JOIN target t ON t.id = i.target
WHERE i.id > :after AND i.id <= :last AND i.state = 'pending' AND i.not_before = 0
  AND t.org_id NOT IN ({each halted})
ORDER BY i.id LIMIT :most;

-- name: fresh_known
SELECT i.id, t.org_id, t.target_group_id, t.target_id, i.customer_id, 0, i.doubtful,
       {place r.source, r.row}
FROM row r CROSS JOIN item i ON i.id = r.item CROSS JOIN target t ON t.id = i.target
WHERE r.source = {source_of :last} AND r.row > ({row_of :after}) AND r.repeats IS NULL
  AND i.state = 'pending' AND i.not_before = 0
  AND t.org_id NOT IN ({each halted})
ORDER BY r.row LIMIT :most;

-- name: targets_of_ledger
SELECT target, min(first_item) FROM share GROUP BY target ORDER BY min(first_item);

-- name: fresh_of_target
SELECT i.id, t.org_id, t.target_group_id, t.target_id, i.customer_id, 0, i.doubtful
FROM item i CROSS JOIN target t ON t.id = i.target
WHERE i.id > :after AND i.id <= :last AND i.target = :target
  AND i.state = 'pending' AND i.not_before = 0
  AND t.org_id NOT IN ({each halted})
  AND {in_run i.id}
ORDER BY i.id LIMIT 1;

-- name: claim
UPDATE item SET state = 'sending', claimed_at = :now,
    tries = CASE WHEN run = :run THEN tries ELSE 0 END, run = :run
WHERE id = :item;

-- name: add_attempt
INSERT INTO attempt (item, attempt, run, sent_at, answered_at, outcome, code, message, http_status,
                     request_id)
SELECT id, attempts + 1, run, :sent_at, :answered_at, :outcome, :code, :message, :http_status,
       :request_id
FROM item WHERE id = :item;

-- name: record
UPDATE item SET state = :state, attempts = attempts + 1, tries = tries + :charged,
    not_before = :not_before, claimed_at = NULL,
    doubtful = CASE :state WHEN 'in_doubt' THEN 1 WHEN 'review' THEN doubtful ELSE 0 END,
    doubt_at = CASE WHEN :outcome <> 'unanswered' THEN doubt_at WHEN :old THEN 0 ELSE :sent_at END,
    code = :code, message = :message, http_status = :http_status, request_id = :request_id,
    updated_at = :now, mismatch = :mismatch
WHERE id = :item;

-- name: release
UPDATE item SET state = :state, not_before = :not_before, claimed_at = NULL,
    doubt_at = CASE WHEN :old THEN 0 ELSE doubt_at END, code = coalesce(:code, code),
    message = CASE :state WHEN 'blocked' THEN :message ELSE message END,
    updated_at = CASE :state WHEN 'blocked' THEN :now ELSE updated_at END
WHERE id = :item;

-- name: index_pending
CREATE INDEX IF NOT EXISTS item_pending ON item (target) WHERE state = 'pending';

-- name: block
UPDATE item AS i SET state = 'blocked', code = :code, message = :message, updated_at = :now
WHERE state = 'pending'
  AND target IN (SELECT id FROM target WHERE org_id = :org AND target_group_id = :group
                 AND (:target IS NULL OR target_id = :target))
  AND {in_run i.id};

-- name: reopen
UPDATE item SET
    state = CASE WHEN doubtful THEN 'in_doubt' ELSE 'pending' END,
    not_before = CASE WHEN doubtful THEN :now ELSE 0 END,
    code = CASE WHEN doubtful THEN code END,
    message = CASE WHEN doubtful THEN message END,
    doubt_at = NULL,
    tries = 0, updated_at = :now
WHERE state IN ({each states})
  AND (:codes IS NULL OR code IN ({each codes}))
  AND (:targets IS NULL OR EXISTS (
        SELECT 1 FROM target t JOIN json_each(:targets) j
        ON j.value = t.target_group_id || '/' || t.target_id WHERE t.id = item.target))
  AND ({source_of id} IN (SELECT id FROM source
                         WHERE confirmed_at IS NOT NULL AND superseded_at IS NULL)
       OR EXISTS (SELECT 1 FROM row r JOIN source s ON s.id = r.source
                  WHERE r.item = item.id AND s.confirmed_at IS NOT NULL
                    AND s.superseded_at IS NULL));
