-- Loading and confirming sources.

-- name: drop_indexes
DROP INDEX IF EXISTS item_key;
DROP INDEX IF EXISTS item_pending;

-- name: has_items
SELECT EXISTS (SELECT 1 FROM item);

-- name: find_source
SELECT id FROM source WHERE path = :path AND sha256 = :sha256 AND reading = :reading;

-- name: plan_again
UPDATE source SET confirmed_at = NULL, superseded_at = NULL
WHERE id = :source AND superseded_at IS NOT NULL;

-- name: unwithdraw
UPDATE item SET state = 'pending', updated_at = :now
WHERE state = 'withdrawn'
  AND ({source_of id} = :source
       OR EXISTS (SELECT 1 FROM row r WHERE r.item = item.id AND r.source = :source));

-- name: add_source
INSERT INTO source (path, name, sha256, reading, header)
VALUES (:path, :name, :sha256, :reading, :header) RETURNING id;

-- name: add_target
INSERT INTO target (org_id, target_group_id, target_id) VALUES (:org, :group, :target)
ON CONFLICT DO UPDATE SET org_id = org_id RETURNING id;

-- name: add_chunk
INSERT INTO chunk (id, row_count, cells) VALUES (:place, :row_count, :cells);

-- name: add_invalid
INSERT INTO row (source, row, code, message, cells) VALUES (?, ?, ?, ?, ?);

-- name: add_items
INSERT INTO item (id, target, customer_id)
SELECT :place + key / :width, key % :width, value FROM json_each(:keys);

-- name: add_new_items
INSERT INTO item (id, target, customer_id)
SELECT :place + key / :width, key % :width, value FROM json_each(:keys) WHERE true
ON CONFLICT (customer_id, target) DO NOTHING;

-- name: add_known_rows
INSERT INTO row (source, row, item, repeats)
SELECT :source, {row_of (:place + key / :width)}, i.id,
       CASE WHEN {source_of i.id} = :source THEN {row_of i.id} END
FROM json_each(:keys) CROSS JOIN item i
    ON i.customer_id = json_each.value AND i.target = json_each.key % :width
WHERE i.id <> :place + key / :width;

-- name: mark_repeats
UPDATE row SET repeats = (
    SELECT min(f.row) FROM row f
    WHERE f.item = row.item AND f.source = row.source AND f.row < row.row AND f.repeats IS NULL)
WHERE source = :source AND row BETWEEN :first AND :last AND {source_of item} <> :source;

-- name: add_line
INSERT INTO line (source, row, line) VALUES (?, ?, ?);

-- name: add_noticed
INSERT INTO noticed (source, facts) VALUES (:source, :facts);

-- name: add_part
INSERT INTO part (name, source) VALUES (:name, :source) ON CONFLICT DO NOTHING;

-- name: add_alarms
INSERT INTO alarm_round (noted_at, noted_by, alarms) VALUES (:now, :noted_by, :alarms);

-- name: add_repeat
INSERT INTO row (source, row, item, repeats) VALUES (:source, :row, :item, :repeats);

-- name: drop_repeated_items
DELETE FROM item WHERE id IN (
    SELECT {place source, row} FROM row WHERE source = :source AND repeats IS NOT NULL);

-- name: add_shares
INSERT INTO share (source, target, items, phone_like, first_item)
SELECT :source, target, count(*), 0, min(id)
FROM item WHERE {of_source id, :source} GROUP BY target;

-- name: add_share
INSERT INTO share (source, target, items, phone_like, first_item) VALUES (?, ?, ?, 0, ?);

-- name: source_loaded
UPDATE source SET loaded_at = :now, row_count = :row_count WHERE id = :source;

-- name: unfinished_sources
SELECT id FROM source WHERE loaded_at IS NULL;

-- name: drop_items
DELETE FROM item WHERE {of_source id, :source};

-- name: drop_chunks
DELETE FROM chunk WHERE {of_source id, :source};

-- name: drop_rows
DELETE FROM row WHERE source = :source;

-- name: drop_shares
DELETE FROM share WHERE source = :source;

-- name: drop_lines
DELETE FROM line WHERE source = :source;

-- name: drop_noticed
DELETE FROM noticed WHERE source = :source;

-- name: drop_parts
DELETE FROM part WHERE source = :source;

-- name: drop_source
DELETE FROM source WHERE id = :source;

-- name: confirm_source
UPDATE source SET confirmed_at = coalesce(confirmed_at, :now), superseded_at = NULL
WHERE id = :source;

-- name: unconfirm
UPDATE source SET confirmed_at = NULL
WHERE superseded_at IS NULL AND id NOT IN ({each sources});

-- name: supersede
UPDATE source SET superseded_at = :now WHERE id IN ({replaced sources, given});

-- name: withdraw
UPDATE item SET state = 'withdrawn', updated_at = :now
WHERE state = 'pending' AND attempts = 0
  AND {source_of id} IN (SELECT id FROM source WHERE superseded_at IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM row r JOIN source s ON s.id = r.source
                  WHERE r.item = item.id AND s.superseded_at IS NULL);
