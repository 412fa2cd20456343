-- Views. Two are promised to other programs: results and attempt_history.

-- name: views
-- A row of a superseded source is shown while its customer/target has no newer row.
CREATE VIEW first_row AS
SELECT
    s.name AS source,
    {row_of i.id} AS row,
    nullif(t.org_id, 0) AS org_id,
    t.target_group_id AS target_group_id,
    t.target_id AS target_id,
    i.customer_id AS customer_id,
    i.state AS status,
    i.code AS code,
    i.message AS message,
    i.http_status AS http_status,
    i.attempts AS attempts,
    CASE WHEN i.updated_at IS NOT NULL
         THEN strftime('%Y-%m-%dT%H:%M:%fZ', i.updated_at, 'unixepoch') END AS updated_at,
    i.request_id AS request_id,
    s.id AS source_id,
    i.id AS place
FROM item i
CROSS JOIN source s ON s.id = {source_of i.id}
CROSS JOIN target t ON t.id = i.target
WHERE s.loaded_at IS NOT NULL
  AND (s.superseded_at IS NULL OR NOT EXISTS (
        SELECT 1 FROM row n JOIN source ns ON ns.id = n.source
        WHERE n.item = i.id AND n.source <> s.id
          AND (ns.superseded_at IS NULL OR n.source > s.id)));

CREATE VIEW other_row AS
SELECT
    s.name AS source,
    r.row AS row,
    nullif(t.org_id, 0) AS org_id,
    t.target_group_id AS target_group_id,
    t.target_id AS target_id,
    i.customer_id AS customer_id,
    CASE WHEN r.item IS NULL THEN 'invalid'
         WHEN r.repeats IS NOT NULL THEN 'duplicate'
         ELSE i.state END AS status,
    CASE WHEN r.item IS NULL THEN r.code
         WHEN r.repeats IS NULL THEN i.code END AS code,
    CASE WHEN r.item IS NULL THEN r.message
         WHEN r.repeats IS NOT NULL THEN 'repeats row ' || r.repeats
         ELSE i.message END AS message,
    CASE WHEN r.repeats IS NULL THEN i.http_status END AS http_status,
    CASE WHEN r.item IS NULL OR r.repeats IS NOT NULL THEN 0 ELSE i.attempts END AS attempts,
    CASE WHEN r.repeats IS NULL
         THEN strftime('%Y-%m-%dT%H:%M:%fZ', i.updated_at, 'unixepoch') END AS updated_at,
    CASE WHEN r.repeats IS NULL THEN i.request_id END AS request_id,
    r.source AS source_id,
    {place r.source, r.row} AS place
FROM row r
JOIN source s ON s.id = r.source
LEFT JOIN item i ON i.id = r.item
LEFT JOIN target t ON t.id = i.target
LEFT JOIN source h ON h.id = {source_of r.item}
WHERE s.loaded_at IS NOT NULL
  AND (s.superseded_at IS NULL
       OR (r.item IS NOT NULL AND r.repeats IS NULL
           AND h.superseded_at IS NOT NULL AND h.id < s.id
           AND NOT EXISTS (
            SELECT 1 FROM row n JOIN source ns ON ns.id = n.source
            WHERE n.item = r.item AND n.source <> r.source
              AND (ns.superseded_at IS NULL OR n.source > r.source))));

CREATE VIEW results AS
SELECT source, row, org_id, target_group_id, target_id, customer_id, status, code, message,
       http_status, attempts, updated_at, request_id, source_id
FROM first_row
UNION ALL
SELECT source, row, org_id, target_group_id, target_id, customer_id, status, code, message,
       http_status, attempts, updated_at, request_id, source_id
FROM other_row;

-- What is being sent is unanswered here: after a kill that is what it is.
CREATE VIEW attempt_history AS
SELECT nullif(t.org_id, 0) AS org_id, t.target_group_id, t.target_id, i.customer_id, a.attempt,
       u.run_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.sent_at, 'unixepoch') AS sent_at,
       strftime('%Y-%m-%dT%H:%M:%fZ', a.answered_at, 'unixepoch') AS answered_at,
       a.outcome, a.code, a.http_status, a.request_id
FROM attempt a
JOIN item i ON i.id = a.item
JOIN target t ON t.id = i.target
JOIN run u ON u.id = a.run
UNION ALL
SELECT nullif(t.org_id, 0), t.target_group_id, t.target_id, i.customer_id, i.attempts + 1,
       u.run_id,
       strftime('%Y-%m-%dT%H:%M:%fZ', i.claimed_at, 'unixepoch'),
       NULL, 'unanswered', NULL, NULL, NULL
FROM item i
JOIN target t ON t.id = i.target
JOIN run u ON u.id = i.run
WHERE i.state = 'sending';
