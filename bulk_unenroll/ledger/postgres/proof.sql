-- What must hold in a ledger as a whole.

-- name: rows_of_sources
SELECT s.name, s.row_count,
       (SELECT count(*) FROM item
        WHERE id BETWEEN {place s.id, 1} AND {place s.id, s.row_count}),
       (SELECT count(*) FROM row WHERE source = s.id AND row BETWEEN 1 AND s.row_count),
       (SELECT count(*) FROM row WHERE source = s.id AND cells IS NOT NULL),
       (SELECT coalesce(sum(row_count), 0)::bigint FROM chunk WHERE {of_source id, s.id}),
       (SELECT coalesce(sum(items), 0)::bigint FROM share WHERE source = s.id)
FROM source s ORDER BY s.id;

-- name: numbers_of_rows
-- What is being loaded is not in the account yet.
SELECT (SELECT count(*) FROM item WHERE {source_of id} NOT IN (SELECT source FROM arriving)),
       (SELECT count(*) FROM row WHERE source NOT IN (SELECT source FROM arriving));

-- name: rows_read_twice
SELECT count(*) FROM row r JOIN item i ON i.id = {place r.source, r.row};

-- name: rows_without_item
SELECT count(*) FROM row r WHERE r.item IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM item i WHERE i.id = r.item);

-- name: rows_first_twice
SELECT count(*) FROM row r WHERE r.item IS NOT NULL AND r.repeats IS NULL
  AND ({source_of r.item} >= r.source OR EXISTS (
        SELECT 1 FROM row f WHERE f.item = r.item AND f.source = r.source AND f.row < r.row));

-- name: repeats_without_row
SELECT count(*) FROM row r WHERE r.repeats IS NOT NULL
  AND (r.repeats >= r.row OR r.item <> {place r.source, r.repeats}) AND NOT EXISTS (
    SELECT 1 FROM row f WHERE f.source = r.source AND f.row = r.repeats AND f.item = r.item
      AND f.repeats IS NULL AND f.row < r.row);

-- name: states_of_two_kinds
SELECT count(*) FROM (SELECT item FROM touched GROUP BY item HAVING count(*) > 1) twice;

-- name: states_of_nobody
SELECT count(*) FROM touched s
LEFT JOIN item i ON i.id = s.item AND i.target = s.target WHERE i.id IS NULL;

-- name: attempts_of_nobody
SELECT count(*) FROM attempt a
LEFT JOIN item i ON i.id = a.item LEFT JOIN run u ON u.id = a.run
WHERE i.id IS NULL OR u.id IS NULL;

-- name: targets_missing
SELECT count(*) FROM item i LEFT JOIN target t ON t.id = i.target WHERE t.id IS NULL;

-- name: passed_over
SELECT count(*) FROM slice c
JOIN item i ON i.id > c.after_place AND i.id <= c.last_place
LEFT JOIN touched s ON s.item = i.id WHERE c.all_tried AND s.item IS NULL;

-- name: unfolded
SELECT i.id FROM standing i
LEFT JOIN (SELECT item, count(*) AS n, max(attempt) AS last,
                  bool_or(outcome = 'unanswered') AS unanswered,
                  bool_or(outcome IN ('succeeded', 'not_enrolled')) AS done
           FROM attempt GROUP BY item) c ON c.item = i.id
LEFT JOIN attempt a ON a.item = i.id AND a.attempt = c.last
WHERE i.attempts <> coalesce(c.n, 0) OR i.attempts <> coalesce(c.last, 0)
   OR NOT CASE i.state
        WHEN 'succeeded' THEN coalesce(a.outcome = 'succeeded', false)
        WHEN 'not_enrolled' THEN coalesce(a.outcome = 'not_enrolled', false)
        WHEN 'review' THEN coalesce(a.outcome = 'review', false)
        WHEN 'failed' THEN coalesce(a.outcome IN ('failed', 'not_applied'), false)
        WHEN 'in_doubt' THEN coalesce(c.unanswered, false)
        WHEN 'withdrawn' THEN i.attempts = 0
        WHEN 'pending' THEN
            coalesce(a.outcome NOT IN ('succeeded', 'not_enrolled', 'unanswered'), true)
        ELSE true
      END
   OR (i.state NOT IN ('succeeded', 'not_enrolled') AND coalesce(c.done, false))
LIMIT 5;

-- name: views_work
SELECT (SELECT count(*) FROM (SELECT * FROM results LIMIT 1) r),
       (SELECT count(*) FROM (SELECT * FROM attempt_history LIMIT 1) a);
