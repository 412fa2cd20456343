-- Views. Two are promised to other programs: results and attempt_history.

-- name: views
-- Every customer/target with its state, wherever that is kept.
CREATE VIEW standing AS
SELECT
    i.id, i.target, i.customer_id,
    CASE WHEN o.item IS NOT NULL THEN o.state
         WHEN f.item IS NOT NULL THEN 'sending'
         WHEN g.doubtful THEN 'in_doubt'
         ELSE 'pending' END AS state,
    coalesce(o.attempts, f.attempts, g.attempts, 0) AS attempts,
    coalesce(o.code, f.code, g.code) AS code,
    CASE WHEN m.item IS NOT NULL THEN m.message ELSE a.message END AS message,
    a.http_status,
    coalesce(m.at, a.answered_at, a.sent_at) AS updated_at,
    a.request_id,
    coalesce(o.mismatch, f.mismatch, g.mismatch, false) AS mismatch
FROM item i
LEFT JOIN outcome o ON o.item = i.id
LEFT JOIN flight f ON f.item = i.id
LEFT JOIN agenda g ON g.item = i.id
LEFT JOIN attempt a ON a.item = i.id
    AND a.attempt = coalesce(o.attempts, f.attempts, g.attempts)
LEFT JOIN remark m ON m.item = i.id
    AND m.attempts = coalesce(o.attempts, f.attempts, g.attempts, 0);

-- Those of them that are not pending and untried: counted without a look at any other.
CREATE VIEW touched AS
SELECT item, target, state, attempts, code, mismatch FROM outcome
UNION ALL
SELECT item, target, 'sending', attempts, code, mismatch FROM flight
UNION ALL
SELECT item, target, CASE WHEN doubtful THEN 'in_doubt' ELSE 'pending' END::state, attempts, code,
       mismatch
FROM agenda;

-- A row of a superseded source is shown while its customer/target has no newer row.
CREATE VIEW first_row AS
SELECT
    s.name AS source,
    {row_of i.id} AS row,
    nullif(t.org_id, 0) AS org_id,
    t.target_group_id,
    t.target_id,
    i.customer_id,
    i.state::text AS status,
    i.code,
    i.message,
    i.http_status,
    i.attempts,
    {moment i.updated_at} AS updated_at,
    i.request_id,
    s.id AS source_id,
    i.id AS place
FROM standing i
JOIN source s ON s.id = {source_of i.id}
JOIN target t ON t.id = i.target
WHERE s.superseded_at IS NULL OR NOT EXISTS (
    SELECT 1 FROM row n JOIN source ns ON ns.id = n.source
    WHERE n.item = i.id AND n.source <> s.id AND (ns.superseded_at IS NULL OR n.source > s.id));

CREATE VIEW other_row AS
SELECT
    s.name AS source,
    r.row AS row,
    nullif(t.org_id, 0) AS org_id,
    t.target_group_id,
    t.target_id,
    i.customer_id,
    CASE WHEN r.item IS NULL THEN 'invalid'
         WHEN r.repeats IS NOT NULL THEN 'duplicate'
         ELSE i.state::text END AS status,
    CASE WHEN r.item IS NULL THEN r.code
         WHEN r.repeats IS NULL THEN i.code END AS code,
    CASE WHEN r.item IS NULL THEN r.message
         WHEN r.repeats IS NOT NULL THEN 'repeats row ' || r.repeats
         ELSE i.message END AS message,
    CASE WHEN r.repeats IS NULL THEN i.http_status END AS http_status,
    CASE WHEN r.item IS NULL OR r.repeats IS NOT NULL THEN 0 ELSE i.attempts END AS attempts,
    CASE WHEN r.repeats IS NULL THEN {moment i.updated_at} END AS updated_at,
    CASE WHEN r.repeats IS NULL THEN i.request_id END AS request_id,
    r.source AS source_id,
    {place r.source, r.row} AS place
FROM row r
JOIN source s ON s.id = r.source
LEFT JOIN standing i ON i.id = r.item
LEFT JOIN target t ON t.id = i.target
LEFT JOIN source h ON h.id = {source_of r.item}
WHERE s.superseded_at IS NULL
   OR (r.item IS NOT NULL AND r.repeats IS NULL
       AND h.superseded_at IS NOT NULL AND h.id < s.id
       AND NOT EXISTS (
            SELECT 1 FROM row n JOIN source ns ON ns.id = n.source
            WHERE n.item = r.item AND n.source <> r.source
              AND (ns.superseded_at IS NULL OR n.source > r.source)));

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
       u.run_id, {moment a.sent_at} AS sent_at, {moment a.answered_at} AS answered_at,
       a.outcome, a.code, a.http_status, a.request_id
FROM attempt a
JOIN item i ON i.id = a.item
JOIN target t ON t.id = i.target
JOIN run u ON u.id = a.run
UNION ALL
SELECT nullif(t.org_id, 0), t.target_group_id, t.target_id, i.customer_id, f.attempts + 1,
       u.run_id, {moment f.claimed_at}, NULL, 'unanswered', NULL, NULL, NULL
FROM flight f
JOIN item i ON i.id = f.item
JOIN target t ON t.id = i.target
JOIN run u ON u.id = f.run;
