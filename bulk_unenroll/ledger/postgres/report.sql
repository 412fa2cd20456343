-- Questions for the report.

-- name: example
SELECT source, row, message, {line_of r.source_id, r.row} FROM results r
WHERE customer_id = :customer AND target_group_id = :group AND target_id = :target
  AND org_id IS NOT DISTINCT FROM :org::bigint AND status NOT IN ('invalid', 'duplicate')
  AND source_id = ANY (:sources::bigint[])
ORDER BY source_id, row LIMIT 1;

-- name: run_calls
SELECT u.run_id, c.number, c.first_s, c.last_s
FROM (SELECT run, count(*) AS number, min(sent_at) AS first_s, max(sent_at) AS last_s
      FROM attempt GROUP BY run) c
JOIN run u ON u.id = c.run ORDER BY u.id;

-- name: attempt_bins
SELECT u.run_id, b.slot, b.kind, b.bin_ms, b.number
FROM (SELECT run, slot, kind, CASE WHEN ms < 100 THEN ms / 2 * 2
                                   WHEN ms < 1000 THEN ms / 20 * 20
                                   WHEN ms < 10000 THEN ms / 200 * 200
                                   ELSE ms / 2000 * 2000 END AS bin_ms, count(*) AS number
      FROM (SELECT run,
                   CASE WHEN run = (SELECT id FROM run WHERE run_id = :run_id)
                        THEN trunc((sent_at - :begin) / :width)::bigint END AS slot,
                   CASE WHEN outcome IN ('succeeded', 'not_enrolled') THEN 'done'
                        WHEN outcome = 'unanswered' THEN 'unanswered'
                        ELSE 'refused' END AS kind,
                   CASE WHEN answered_at IS NOT NULL
                        THEN trunc(least(greatest(answered_at - sent_at, 0), 3600) * 1000)::bigint
                        END AS ms
            FROM attempt) a
      GROUP BY 1, 2, 3, 4) b
JOIN run u ON u.id = b.run;

-- name: attempt_counts
SELECT attempts, count(*) FROM touched WHERE attempts > 0 GROUP BY attempts ORDER BY attempts;

-- name: sent_again
SELECT before.outcome, before.code, count(*) FILTER (WHERE again.run = before.run),
       count(*) FILTER (WHERE again.run <> before.run),
       avg(greatest(again.sent_at - coalesce(before.answered_at, before.sent_at), 0))
           FILTER (WHERE again.run = before.run),
       max(again.sent_at - coalesce(before.answered_at, before.sent_at))
           FILTER (WHERE again.run = before.run)
FROM attempt again
JOIN attempt before ON before.item = again.item AND before.attempt = again.attempt - 1
WHERE again.attempt > 1
GROUP BY before.outcome, before.code
ORDER BY count(*) DESC, before.code COLLATE "C" NULLS FIRST LIMIT :most;

-- name: waiting
SELECT count(*), min(not_before) FROM agenda WHERE not_before > 0;

-- name: slowest
SELECT s.took_s, s.sent_at, s.outcome, s.code, s.http_status,
       nullif(t.org_id, 0), t.target_group_id, t.target_id, i.customer_id
FROM (SELECT item, answered_at - sent_at AS took_s, sent_at, outcome, code, http_status
      FROM attempt WHERE answered_at IS NOT NULL
      ORDER BY answered_at - sent_at DESC LIMIT :most) s
JOIN item i ON i.id = s.item
JOIN target t ON t.id = i.target
ORDER BY s.took_s DESC;
