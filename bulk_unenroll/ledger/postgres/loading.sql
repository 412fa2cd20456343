-- Loading and confirming sources.

-- name: find_source
SELECT id FROM source WHERE path = :path AND sha256 = :sha256 AND reading = :reading;

-- name: plan_again
UPDATE source SET confirmed_at = NULL, superseded_at = NULL
WHERE id = :source AND superseded_at IS NOT NULL;

-- name: unwithdraw
-- Into the agenda, for all around it may have been tried.
WITH back AS (
    DELETE FROM outcome o
    WHERE o.state = 'withdrawn'
      AND ({source_of o.item} = :source
           OR EXISTS (SELECT 1 FROM row r WHERE r.item = o.item AND r.source = :source))
    RETURNING *),
waiting AS (
    INSERT INTO agenda (item, target, attempts, tries, not_before, doubtful, mismatch, code)
    SELECT item, target, 0, 0, not_before, false, mismatch, code
    FROM back)
INSERT INTO remark (item, attempts, at) SELECT item, 0, :now FROM back
ON CONFLICT (item) DO UPDATE SET attempts = 0, at = excluded.at;

-- name: add_source
-- Loaded at once or, with an id that was kept for it, after others had loaded it.
INSERT INTO source (id, path, name, sha256, reading, header, loaded_at, row_count)
OVERRIDING SYSTEM VALUE
VALUES (coalesce(:source, nextval(pg_get_serial_sequence('source', 'id'))), :path, :name, :sha256,
        :reading, :header, :now, 0) RETURNING id;

-- name: add_part
INSERT INTO part (name, source) VALUES (:name, :source) ON CONFLICT DO NOTHING;

-- name: work_in_memory
-- Sorting and hashing millions of keys; an input may be slow to read meanwhile.
SELECT set_config('work_mem', '128MB', true), set_config('maintenance_work_mem', '256MB', true),
       set_config('idle_in_transaction_session_timeout', :at_most, true),
       set_config('statement_timeout', :at_most, true);

-- name: make_staged
CREATE TEMPORARY TABLE staged (division smallint, id bigint, customer_id bigint, target integer)
ON COMMIT DROP;

-- name: stage
COPY staged (division, id, customer_id, target) FROM STDIN (FORMAT binary);

-- name: add_targets
-- Who numbers one may have come upon it later than another loader did.
INSERT INTO target AS t (org_id, target_group_id, target_id, place)
SELECT u.org_id, u.target_group_id, u.target_id, :place + u.number
FROM unnest(:orgs::bigint[], :groups::bigint[], :targets::bigint[]) WITH ORDINALITY
    AS u (org_id, target_group_id, target_id, number)
ON CONFLICT (org_id, target_group_id, target_id) DO UPDATE SET place = excluded.place
WHERE excluded.place < t.place;

-- name: find_targets
SELECT t.id FROM unnest(:orgs::bigint[], :groups::bigint[], :targets::bigint[]) WITH ORDINALITY
    AS u (org_id, target_group_id, target_id, place)
JOIN target t USING (org_id, target_group_id, target_id) ORDER BY u.place;

-- name: add_chunk
INSERT INTO chunk (id, row_count, cells) VALUES (:place, :row_count, :cells);

-- name: add_invalid
INSERT INTO row (source, row, code, message, cells)
SELECT :source, u.* FROM unnest(:rows::bigint[], :codes::text[], :messages::text[], :cells::text[])
    AS u;

-- name: add_lines
INSERT INTO line (source, row, line)
SELECT :source, u.* FROM unnest(:rows::bigint[], :lines::bigint[]) AS u;

-- name: count_staged
ANALYZE staged;

-- name: add_repeats
-- The first place of a customer/target stays; the others repeat it, whether it is new or known.
-- Within a source they repeat its first row there; in another one that row is as good as known.
INSERT INTO row (source, row, item, repeats)
SELECT {source_of id}, {row_of id}, coalesce(known, first),
       CASE WHEN id <> first_here THEN {row_of first_here} END
FROM (
    SELECT s.id, i.id AS known, again.first,
           min(s.id) OVER (PARTITION BY s.customer_id, s.target, {source_of s.id}) AS first_here
    FROM (SELECT customer_id, target, min(id) AS first FROM staged WHERE division = :division
          GROUP BY customer_id, target HAVING count(*) > 1) again
    JOIN staged s USING (customer_id, target)
    LEFT JOIN item i
        ON :has_known AND i.customer_id = s.customer_id AND i.target = s.target
    WHERE s.division = :division) found
WHERE id <> first;

-- name: add_known
INSERT INTO row (source, row, item)
SELECT {source_of s.id}, {row_of s.id}, i.id
FROM staged s JOIN item i ON i.customer_id = s.customer_id AND i.target = s.target
WHERE s.division = :division AND {is_first s.id};

-- name: add_items
INSERT INTO item (id, customer_id, target)
SELECT s.id, s.customer_id, s.target FROM staged s
WHERE s.division = :division AND {is_first s.id}
ORDER BY s.id;

-- name: has_indexes
SELECT to_regclass('item_key') IS NOT NULL;

-- name: count_items
-- Nothing is known of rows that were copied a moment ago.
ANALYZE item, row, share, target;

-- name: add_shares
INSERT INTO share (source, target, items, first_item)
SELECT :source, target, count(*), min(id) FROM item WHERE {of_source id, :source} GROUP BY target;

-- name: source_loaded
UPDATE source SET loaded_at = :now, row_count = :row_count, noticed = :noticed WHERE id = :source;

-- name: confirm_sources
UPDATE source SET confirmed_at = coalesce(confirmed_at, :now), superseded_at = NULL
WHERE id = ANY (:sources::bigint[]);

-- name: unconfirm
UPDATE source SET confirmed_at = NULL
WHERE superseded_at IS NULL AND id <> ALL (:sources::bigint[]);

-- name: supersede
UPDATE source SET superseded_at = :now WHERE id IN ({replaced sources, given});

-- name: withdraw
WITH meant AS (
    SELECT i.id, i.target, a.code, coalesce(a.mismatch, false) AS mismatch,
           CASE WHEN a.item IS NULL THEN 0 ELSE a.not_before END AS not_before
    FROM item i LEFT JOIN agenda a ON a.item = i.id
    WHERE {source_of i.id} IN (SELECT id FROM source WHERE superseded_at IS NOT NULL)
      AND (a.item IS NULL OR (a.attempts = 0 AND NOT a.doubtful))
      AND NOT EXISTS (SELECT 1 FROM outcome o WHERE o.item = i.id)
      AND NOT EXISTS (SELECT 1 FROM flight f WHERE f.item = i.id)
      AND NOT EXISTS (SELECT 1 FROM row r JOIN source s ON s.id = r.source
                      WHERE r.item = i.id AND s.superseded_at IS NULL)),
gone AS (DELETE FROM agenda a USING meant m WHERE a.item = m.id),
remarked AS (
    INSERT INTO remark (item, attempts, at) SELECT id, 0, :now FROM meant
    ON CONFLICT (item) DO UPDATE SET attempts = 0, at = excluded.at)
INSERT INTO outcome (item, target, attempts, state, doubtful, mismatch, not_before, code)
SELECT id, target, 0, 'withdrawn', false, mismatch, not_before, code FROM meant;

-- name: add_alarms
INSERT INTO alarm_round (noted_at, noted_by, alarms) VALUES (:now, :noted_by, :alarms);

-- name: set_meta
INSERT INTO meta (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
