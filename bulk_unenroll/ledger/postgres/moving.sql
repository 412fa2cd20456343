-- A job that comes from another ledger.

-- name: number_on
-- The next source, target and run are numbered after those that came.
SELECT setval(pg_get_serial_sequence(t.name, 'id'), t.next, false)
FROM (SELECT 'source' AS name, coalesce(max(id), 0) + 1 AS next FROM source
      UNION ALL SELECT 'target', coalesce(max(id), 0) + 1 FROM target
      UNION ALL SELECT 'run', coalesce(max(id), 0) + 1 FROM run
      UNION ALL SELECT 'alarm_round', coalesce(max(id), 0) + 1 FROM alarm_round) t;

-- name: count_moved
ANALYZE item, row, share, target, outcome, agenda, attempt, remark;

-- name: unmark
DELETE FROM meta WHERE name = 'moving' AND value = :mark;
