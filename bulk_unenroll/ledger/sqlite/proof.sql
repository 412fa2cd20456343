-- What must hold in a ledger as a whole.

-- name: rows_of_sources
SELECT s.name, s.row_count,
       (SELECT count(*) FROM item
        WHERE id BETWEEN {place s.id, 1} AND {place s.id, s.row_count}
          AND (state = 'pending' OR state IN ({each states}))),
       (SELECT count(*) FROM row WHERE source = s.id AND row BETWEEN 1 AND s.row_count),
       (SELECT count(*) FROM row WHERE source = s.id AND cells IS NOT NULL),
       (SELECT coalesce(sum(row_count), 0) FROM chunk WHERE {of_source id, s.id}),
       (SELECT coalesce(sum(items), 0) FROM share WHERE source = s.id)
FROM source s WHERE s.loaded_at IS NOT NULL ORDER BY s.id;

-- name: numbers_of_rows
WITH unfinished AS (SELECT id FROM source WHERE loaded_at IS NULL)
SELECT (SELECT count(*) FROM item)
       - (SELECT count(*) FROM unfinished u JOIN item i ON {of_source i.id, u.id}),
       (SELECT count(*) FROM row)
       - (SELECT count(*) FROM unfinished u JOIN row r ON r.source = u.id);

-- name: rows_read_twice
SELECT count(*) FROM row r JOIN item i ON i.id = ({place r.source, r.row});

-- name: rows_without_item
SELECT count(*) FROM row r WHERE r.item IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM item i WHERE i.id = r.item);

-- name: rows_first_twice
SELECT count(*) FROM row r WHERE r.item IS NOT NULL AND r.repeats IS NULL
  AND ({source_of r.item} >= r.source OR EXISTS (
        SELECT 1 FROM row f WHERE f.item = r.item AND f.source = r.source AND f.row < r.row));

-- name: repeats_without_row
SELECT count(*) FROM row r WHERE r.repeats IS NOT NULL
  AND (r.repeats >= r.row OR r.item <> ({place r.source, r.repeats})) AND NOT EXISTS (
    SELECT 1 FROM row f WHERE f.source = r.source AND f.row = r.repeats AND f.item = r.item
      AND f.repeats IS NULL AND f.row < r.row);

-- name: unknown_states
SELECT count(*) FROM item
WHERE state <> 'pending' AND state NOT IN ({each states});

-- name: unfolded
SELECT i.id FROM item i
LEFT JOIN (SELECT item, count(*) AS n, max(attempt) AS last FROM attempt GROUP BY item) c
    ON c.item = i.id
LEFT JOIN attempt a ON a.item = i.id AND a.attempt = c.last
WHERE i.attempts <> coalesce(c.n, 0) OR i.attempts <> coalesce(c.last, 0)
   OR NOT CASE i.state
        WHEN 'succeeded' THEN coalesce(a.outcome = 'succeeded', 0)
        WHEN 'not_enrolled' THEN coalesce(a.outcome = 'not_enrolled', 0)
        WHEN 'review' THEN coalesce(a.outcome = 'review', 0)
        WHEN 'failed' THEN coalesce(a.outcome IN ('failed', 'not_applied'), 0)
        WHEN 'in_doubt' THEN i.doubtful AND EXISTS (
            SELECT 1 FROM attempt d WHERE d.item = i.id AND d.outcome = 'unanswered')
        WHEN 'withdrawn' THEN i.attempts = 0
        WHEN 'pending' THEN coalesce(a.outcome NOT IN ('succeeded', 'not_enrolled', 'unanswered'), 1)
        ELSE 1
      END
   OR (i.state NOT IN ('succeeded', 'not_enrolled') AND EXISTS (
        SELECT 1 FROM attempt d WHERE d.item = i.id AND d.outcome IN ('succeeded', 'not_enrolled')))
LIMIT 5;
