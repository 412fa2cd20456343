-- Every statement of the ledger, each under its name. Times are Unix seconds; org_id 0 is SELF.
-- A place is an input row as one number: source << 40 | row.

-- name: schema
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('open', ''), ('commits', '0');

CREATE TABLE source (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    path          TEXT NOT NULL,
    name          TEXT NOT NULL,
    sha256        TEXT NOT NULL,
    reading       TEXT NOT NULL,            -- how it was read: mapping, constants, delimiter
    header        TEXT NOT NULL,            -- JSON: the input's own columns
    loaded_at     REAL,                     -- NULL: reading it has not ended
    confirmed_at  REAL,
    superseded_at REAL,
    row_count     INTEGER NOT NULL DEFAULT 0,
    UNIQUE (path, sha256, reading)
) STRICT;

CREATE TABLE target (
    id              INTEGER PRIMARY KEY,
    org_id          INTEGER NOT NULL,
    target_group_id INTEGER NOT NULL,
    target_id       INTEGER NOT NULL,
    UNIQUE (org_id, target_group_id, target_id)
) STRICT;

CREATE TABLE item (                         -- one customer/target
    id          INTEGER PRIMARY KEY,        -- the place where it stands first in this folder
    target      INTEGER NOT NULL REFERENCES target (id),
    customer_id INTEGER NOT NULL,
    state       TEXT NOT NULL DEFAULT 'pending',
    attempts    INTEGER NOT NULL DEFAULT 0, -- on record
    run         INTEGER,                    -- the last run that claimed it
    tries       INTEGER NOT NULL DEFAULT 0, -- charged in that run
    not_before  REAL DEFAULT 0,             -- 0: never tried; NULL: not by itself
    claimed_at  REAL,                       -- the intent, while sending
    doubtful    INTEGER NOT NULL DEFAULT 0, -- an unanswered attempt may still have been applied
    doubt_at    REAL,                       -- when that attempt was sent; NULL: reopened by a person
    code        TEXT,
    message     TEXT,
    http_status INTEGER,
    request_id  TEXT,
    updated_at  REAL,
    mismatch    INTEGER NOT NULL DEFAULT 0  -- the answer echoed another customer
) STRICT;

-- Few rows at a time are in these states: they cost next to nothing while millions are loaded.
CREATE INDEX item_due ON item (not_before) WHERE not_before > 0;
CREATE INDEX item_sending ON item (id) WHERE state = 'sending';
CREATE INDEX item_in_doubt ON item (id) WHERE state = 'in_doubt';
CREATE INDEX item_withdrawn ON item (id) WHERE state = 'withdrawn';

CREATE TABLE row (                          -- an input row that is not the first of an item
    source  INTEGER NOT NULL REFERENCES source (id),
    row     INTEGER NOT NULL,
    item    INTEGER REFERENCES item (id),   -- NULL: invalid
    repeats INTEGER,                        -- the earlier row of this source that it repeats
    code    TEXT,                           -- why it is invalid
    message TEXT,
    cells   TEXT,                           -- JSON: the row as it was, if it is not in its chunk
    PRIMARY KEY (source, row)
) STRICT, WITHOUT ROWID;
CREATE INDEX row_item ON row (item) WHERE item IS NOT NULL;

CREATE TABLE chunk (                        -- some rows that follow each other, as they were
    id        INTEGER PRIMARY KEY,          -- the place of the first of them
    row_count INTEGER NOT NULL,
    cells     BLOB NOT NULL
) STRICT;

CREATE TABLE share (                        -- how much of a source's items falls to a target
    source     INTEGER NOT NULL REFERENCES source (id),
    target     INTEGER NOT NULL REFERENCES target (id),
    items      INTEGER NOT NULL,
    phone_like INTEGER NOT NULL,            -- of these, with a customer id like a phone number
    first_item INTEGER NOT NULL,
    PRIMARY KEY (source, target)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    id         INTEGER PRIMARY KEY,
    run_id     TEXT NOT NULL UNIQUE,
    command    TEXT NOT NULL,
    started_at REAL NOT NULL,
    ended_at   REAL,
    exit_code  INTEGER,
    reason     TEXT,
    started_by TEXT                         -- user@host
) STRICT;

CREATE TABLE run_source (
    run    INTEGER NOT NULL REFERENCES run (id),
    source INTEGER NOT NULL REFERENCES source (id),
    PRIMARY KEY (run, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempt (                      -- written once, with its outcome; never changed
    id          INTEGER PRIMARY KEY,
    item        INTEGER NOT NULL REFERENCES item (id),
    attempt     INTEGER NOT NULL,
    run         INTEGER NOT NULL REFERENCES run (id),
    sent_at     REAL NOT NULL,
    answered_at REAL,
    outcome     TEXT NOT NULL,
    code        TEXT,
    message     TEXT,
    http_status INTEGER,
    request_id  TEXT,
    UNIQUE (item, attempt)
) STRICT;

CREATE TABLE transition (
    old TEXT NOT NULL,
    new TEXT NOT NULL,
    PRIMARY KEY (old, new)
) STRICT, WITHOUT ROWID;
INSERT INTO transition (old, new) VALUES
    ('pending', 'sending'), ('pending', 'blocked'), ('pending', 'withdrawn'),
    ('sending', 'pending'), ('sending', 'succeeded'), ('sending', 'not_enrolled'),
    ('sending', 'failed'), ('sending', 'blocked'), ('sending', 'review'),
    ('sending', 'in_doubt'),
    ('in_doubt', 'sending'),
    ('failed', 'pending'), ('blocked', 'pending'), ('review', 'pending'), ('review', 'in_doubt'),
    ('withdrawn', 'pending');

CREATE TRIGGER legal_transition BEFORE UPDATE OF state ON item
WHEN OLD.state <> NEW.state
    AND NOT EXISTS (SELECT 1 FROM transition WHERE old = OLD.state AND new = NEW.state)
BEGIN
    SELECT raise(ABORT, 'illegal transition of state');
END;

CREATE TRIGGER attempt_unchanged BEFORE UPDATE ON attempt
BEGIN
    SELECT raise(ABORT, 'an attempt on record never changes');
END;

-- A row of a superseded source is shown while its customer/target stands in no newer row.
CREATE VIEW first_row AS
SELECT
    s.name AS source,
    i.id & 0xFFFFFFFFFF AS row,
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
CROSS JOIN source s ON s.id = i.id >> 40
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
    r.source << 40 | r.row AS place
FROM row r
JOIN source s ON s.id = r.source
LEFT JOIN item i ON i.id = r.item
LEFT JOIN target t ON t.id = i.target
LEFT JOIN source h ON h.id = r.item >> 40
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

-- What is being sent stands here as unanswered: after a kill that is what it is.
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

-- name: make_indexes
-- this is the dedupe
CREATE UNIQUE INDEX IF NOT EXISTS item_key ON item (customer_id, target);

-- name: drop_indexes
DROP INDEX IF EXISTS item_key;
DROP INDEX IF EXISTS item_pending;

-- name: index_pending
CREATE INDEX IF NOT EXISTS item_pending ON item (target) WHERE state = 'pending';

-- ── opening ──────────────────────────────────────────────────────────────────────────────────────

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

-- name: get_meta
SELECT value FROM meta WHERE name = :name;

-- name: set_meta
INSERT INTO meta (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- ── loading ──────────────────────────────────────────────────────────────────────────────────────

-- name: find_source
SELECT id FROM source WHERE path = :path AND sha256 = :sha256 AND reading = :reading;

-- name: add_source
INSERT INTO source (path, name, sha256, reading, header)
VALUES (:path, :name, :sha256, :reading, :header) RETURNING id;

-- name: add_target
INSERT INTO target (org_id, target_group_id, target_id) VALUES (:org, :group, :target)
ON CONFLICT DO UPDATE SET org_id = org_id RETURNING id;

-- name: has_items
SELECT EXISTS (SELECT 1 FROM item);

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
SELECT :source, (:place + key / :width) & 0xFFFFFFFFFF, i.id,
       CASE WHEN i.id >> 40 = :source THEN i.id & 0xFFFFFFFFFF END
FROM json_each(:keys) CROSS JOIN item i
    ON i.customer_id = json_each.value AND i.target = json_each.key % :width
WHERE i.id <> :place + key / :width;

-- name: mark_repeats
UPDATE row SET repeats = (
    SELECT min(f.row) FROM row f
    WHERE f.item = row.item AND f.source = row.source AND f.row < row.row AND f.repeats IS NULL)
WHERE source = :source AND row BETWEEN :first AND :last AND item >> 40 <> :source;

-- name: add_repeat
INSERT INTO row (source, row, item, repeats) VALUES (:source, :row, :item, :repeats);

-- name: drop_repeated_items
DELETE FROM item WHERE id IN (
    SELECT source << 40 | row FROM row WHERE source = :source AND repeats IS NOT NULL);

-- name: add_shares
INSERT INTO share (source, target, items, phone_like, first_item)
SELECT :source, target, count(*), sum(customer_id BETWEEN 1000000000 AND 999999999999), min(id)
FROM item WHERE id BETWEEN :source << 40 AND (:source << 40) + 0xFFFFFFFFFF GROUP BY target;

-- name: add_share
INSERT INTO share (source, target, items, phone_like, first_item) VALUES (?, ?, ?, ?, ?);

-- name: source_loaded
UPDATE source SET loaded_at = :now, row_count = :row_count WHERE id = :source;

-- name: plan_again
UPDATE source SET confirmed_at = NULL, superseded_at = NULL
WHERE id = :source AND superseded_at IS NOT NULL;

-- name: unfinished_sources
SELECT id FROM source WHERE loaded_at IS NULL;

-- name: drop_items
DELETE FROM item WHERE id BETWEEN :source << 40 AND (:source << 40) + 0xFFFFFFFFFF;

-- name: drop_chunks
DELETE FROM chunk WHERE id BETWEEN :source << 40 AND (:source << 40) + 0xFFFFFFFFFF;

-- name: drop_rows
DELETE FROM row WHERE source = :source;

-- name: drop_shares
DELETE FROM share WHERE source = :source;

-- name: drop_source
DELETE FROM source WHERE id = :source;

-- ── confirming ───────────────────────────────────────────────────────────────────────────────────

-- name: confirm_source
UPDATE source SET confirmed_at = coalesce(confirmed_at, :now), superseded_at = NULL
WHERE id = :source;

-- name: supersede
UPDATE source SET superseded_at = :now
WHERE superseded_at IS NULL AND loaded_at IS NOT NULL
  AND path = (SELECT path FROM source WHERE id = :source)
  AND id NOT IN (SELECT value FROM json_each(:sources));

-- name: withdraw
UPDATE item SET state = 'withdrawn', updated_at = :now
WHERE state = 'pending' AND attempts = 0
  AND id >> 40 IN (SELECT id FROM source WHERE superseded_at IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM row r JOIN source s ON s.id = r.source
                  WHERE r.item = item.id AND s.superseded_at IS NULL);

-- name: unwithdraw
UPDATE item SET state = 'pending', updated_at = :now
WHERE state = 'withdrawn'
  AND (id >> 40 = :source
       OR EXISTS (SELECT 1 FROM row r WHERE r.item = item.id AND r.source = :source));

-- name: confirmed_sources
SELECT id FROM source
WHERE confirmed_at IS NOT NULL AND superseded_at IS NULL AND loaded_at IS NOT NULL ORDER BY id;

-- ── running ──────────────────────────────────────────────────────────────────────────────────────

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

-- name: schedule_doubts
UPDATE item AS i SET not_before = CASE
    WHEN NOT (i.id >> 40 IN (SELECT source FROM run_source WHERE run = :run)
       OR EXISTS (SELECT 1 FROM row r JOIN run_source s ON s.source = r.source
                  WHERE r.item = i.id AND s.run = :run)) THEN NULL
    WHEN doubt_at IS NULL THEN coalesce(not_before, :now)
    WHEN :resend AND doubt_at > :cutoff THEN coalesce(not_before, :now)
END
WHERE state = 'in_doubt';

-- name: park_stale_doubts
UPDATE item SET not_before = NULL
WHERE not_before > 0 AND state = 'in_doubt' AND not_before <= :now AND doubt_at <= :cutoff;

-- name: due
SELECT i.id, t.org_id, t.target_group_id, t.target_id, i.customer_id,
       CASE WHEN i.run = :run THEN i.tries ELSE 0 END, i.doubtful
FROM item i JOIN target t ON t.id = i.target
WHERE i.state IN ('pending', 'in_doubt') AND i.not_before > 0 AND i.not_before <= :now
  AND (:only IS NULL OR i.id IN (SELECT value FROM json_each(:only)))
  AND t.org_id NOT IN (SELECT value FROM json_each(:halted))
  AND (i.id >> 40 IN (SELECT source FROM run_source WHERE run = :run)
       OR EXISTS (SELECT 1 FROM row r JOIN run_source s ON s.source = r.source
                  WHERE r.item = i.id AND s.run = :run))
ORDER BY i.not_before LIMIT :most;

-- name: next_due
SELECT i.not_before FROM item i JOIN target t ON t.id = i.target
WHERE i.state IN ('pending', 'in_doubt') AND i.not_before > 0
  AND (:only IS NULL OR i.id IN (SELECT value FROM json_each(:only)))
  AND t.org_id NOT IN (SELECT value FROM json_each(:halted))
  AND (i.id >> 40 IN (SELECT source FROM run_source WHERE run = :run)
       OR EXISTS (SELECT 1 FROM row r JOIN run_source s ON s.source = r.source
                  WHERE r.item = i.id AND s.run = :run))
ORDER BY i.not_before LIMIT 1;

-- name: fresh
SELECT i.id, t.org_id, t.target_group_id, t.target_id, i.customer_id, 0, i.doubtful, i.id
FROM item i CROSS JOIN target t ON t.id = i.target
WHERE i.id > :after AND i.id <= :last AND i.state = 'pending' AND i.not_before = 0
  AND t.org_id NOT IN (SELECT value FROM json_each(:halted))
ORDER BY i.id LIMIT :most;

-- name: fresh_of_target
SELECT i.id, t.org_id, t.target_group_id, t.target_id, i.customer_id, 0, i.doubtful
FROM item i CROSS JOIN target t ON t.id = i.target
WHERE i.id > :after AND i.id <= :last AND i.target = :target
  AND i.state = 'pending' AND i.not_before = 0
  AND t.org_id NOT IN (SELECT value FROM json_each(:halted))
  AND (i.id >> 40 IN (SELECT source FROM run_source WHERE run = :run)
       OR EXISTS (SELECT 1 FROM row r JOIN run_source s ON s.source = r.source
                  WHERE r.item = i.id AND s.run = :run))
ORDER BY i.id LIMIT 1;

-- name: fresh_known
SELECT i.id, t.org_id, t.target_group_id, t.target_id, i.customer_id, 0, i.doubtful,
       r.source << 40 | r.row
FROM row r CROSS JOIN item i ON i.id = r.item CROSS JOIN target t ON t.id = i.target
WHERE r.source = :last >> 40 AND r.row > (:after & 0xFFFFFFFFFF) AND r.repeats IS NULL
  AND i.state = 'pending' AND i.not_before = 0
  AND t.org_id NOT IN (SELECT value FROM json_each(:halted))
ORDER BY r.row LIMIT :most;

-- name: targets_of_ledger
SELECT target, min(first_item) FROM share GROUP BY target ORDER BY min(first_item);

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
    doubt_at = CASE WHEN :outcome = 'unanswered' THEN :sent_at ELSE doubt_at END,
    code = :code, message = :message, http_status = :http_status, request_id = :request_id,
    updated_at = :now, mismatch = :mismatch
WHERE id = :item;

-- name: release
UPDATE item SET state = :state, not_before = :not_before, claimed_at = NULL WHERE id = :item;

-- name: block
UPDATE item AS i SET state = 'blocked', code = :code, message = :message, updated_at = :now
WHERE state = 'pending'
  AND target IN (SELECT id FROM target WHERE org_id = :org AND target_group_id = :group
                 AND (:target IS NULL OR target_id = :target))
  AND (i.id >> 40 IN (SELECT source FROM run_source WHERE run = :run)
       OR EXISTS (SELECT 1 FROM row r JOIN run_source s ON s.source = r.source
                  WHERE r.item = i.id AND s.run = :run));

-- name: reopen
UPDATE item SET
    state = CASE WHEN doubtful THEN 'in_doubt' ELSE 'pending' END,
    not_before = CASE WHEN doubtful THEN :now ELSE 0 END,
    code = CASE WHEN doubtful THEN code END,
    message = CASE WHEN doubtful THEN message END,
    doubt_at = NULL,
    tries = 0, updated_at = :now
WHERE state IN (SELECT value FROM json_each(:states))
  AND (:codes IS NULL OR code IN (SELECT value FROM json_each(:codes)))
  AND (:targets IS NULL OR EXISTS (
        SELECT 1 FROM target t JOIN json_each(:targets) j
        ON j.value = t.target_group_id || '/' || t.target_id WHERE t.id = item.target))
  AND (id >> 40 IN (SELECT id FROM source
                    WHERE confirmed_at IS NOT NULL AND superseded_at IS NULL)
       OR EXISTS (SELECT 1 FROM row r JOIN source s ON s.id = r.source
                  WHERE r.item = item.id AND s.confirmed_at IS NOT NULL
                    AND s.superseded_at IS NULL));

-- name: recent_starts
SELECT sent_at, answered_at FROM attempt ORDER BY id DESC;

-- ── reading ──────────────────────────────────────────────────────────────────────────────────────

-- name: row_counts
SELECT (SELECT coalesce(sum(row_count), 0) FROM source WHERE id IN (SELECT value FROM json_each(:sources))),
       (SELECT count(*) FROM row WHERE source IN (SELECT value FROM json_each(:sources)) AND item IS NULL);

-- name: readings_of_invalid_rows
SELECT DISTINCT reading FROM source WHERE id IN (SELECT value FROM json_each(:sources))
AND id IN (SELECT source FROM row WHERE item IS NULL);

-- name: withdrawn_count
SELECT count(*) FROM item WHERE state = 'withdrawn';

-- name: doubts_left
SELECT count(*) FROM item WHERE state = 'in_doubt';

-- name: target_counts
WITH
    asked (source) AS (SELECT value FROM json_each(:sources)),
    planned (target, number) AS (
        SELECT target, sum(items) FROM share
        WHERE source IN (SELECT source FROM asked) GROUP BY target),
    changed (target, state, code, number, customer_id, attempts, mismatches) AS (
        SELECT target, state, code, count(*), min(customer_id), sum(attempts), sum(mismatch)
        FROM item
        WHERE (state <> 'pending' OR run IS NOT NULL) AND id >> 40 IN (SELECT source FROM asked)
        GROUP BY target, state, code),
    known (target, state, code, number, customer_id, attempts, mismatches) AS (
        SELECT target, state, code, count(*), min(customer_id), sum(attempts), sum(mismatch)
        FROM item
        WHERE id IN (SELECT item FROM row
                     WHERE source IN (SELECT source FROM asked) AND repeats IS NULL
                       AND item >> 40 NOT IN (SELECT source FROM asked))
        GROUP BY target, state, code),
    every (target, state, code, number, customer_id, attempts, mismatches) AS (
        SELECT target, 'pending', NULL,
               number - coalesce((SELECT sum(number) FROM changed c WHERE c.target = p.target), 0),
               NULL, 0, 0
        FROM planned p
        UNION ALL SELECT * FROM changed
        UNION ALL SELECT * FROM known)
SELECT nullif(t.org_id, 0), t.target_group_id, t.target_id, e.state, e.code, sum(e.number),
       min(e.customer_id), sum(e.attempts), sum(e.mismatches)
FROM every e JOIN target t ON t.id = e.target
WHERE e.number <> 0
GROUP BY t.id, e.state, e.code ORDER BY t.id;

-- name: callable_doubts
SELECT count(*) FROM item i
WHERE i.state = 'in_doubt'
  AND (doubt_at IS NULL OR (:resend AND doubt_at > :cutoff))
  AND (i.id >> 40 IN (SELECT value FROM json_each(:sources)) OR i.id IN (SELECT item FROM row WHERE source IN (SELECT value FROM json_each(:sources))
               AND item IS NOT NULL AND repeats IS NULL));

-- name: invalid_counts
SELECT r.code, count(*), min(r.row), (SELECT f.message FROM row f
    WHERE f.source = r.source AND f.item IS NULL AND f.code = r.code ORDER BY f.row LIMIT 1)
FROM row r
WHERE r.source IN (SELECT value FROM json_each(:sources)) AND r.item IS NULL
GROUP BY r.code ORDER BY count(*) DESC;

-- name: phone_like
SELECT coalesce(sum(number), 0), coalesce(sum(phones), 0) FROM (
    SELECT items AS number, phone_like AS phones FROM share WHERE source IN (SELECT value FROM json_each(:sources))
    UNION ALL
    SELECT count(*), sum(customer_id BETWEEN 1000000000 AND 999999999999) FROM item
    WHERE id IN (SELECT item FROM row WHERE source IN (SELECT value FROM json_each(:sources))
                 AND item >> 40 NOT IN (SELECT value FROM json_each(:sources)) AND repeats IS NULL));

-- name: swapped_before
SELECT count(*) FROM target n JOIN target o
ON o.target_group_id = n.target_id AND o.target_id = n.target_group_id
WHERE n.target_id <> n.target_group_id
  AND EXISTS (SELECT 1 FROM item i WHERE i.target = o.id AND i.state = 'succeeded')
  AND (EXISTS (SELECT 1 FROM share WHERE target = n.id AND source IN (SELECT value FROM json_each(:sources)))
       OR EXISTS (SELECT 1 FROM row r JOIN item i ON i.id = r.item
                  WHERE i.target = n.id AND r.source IN (SELECT value FROM json_each(:sources))));

-- name: source_facts
SELECT id, name, path, sha256, row_count, header, confirmed_at IS NOT NULL,
       superseded_at IS NOT NULL
FROM source WHERE id IN (SELECT value FROM json_each(:sources)) ORDER BY id;

-- name: previous_rows
SELECT p.row_count FROM source p JOIN source s ON s.path = p.path
WHERE s.id = :source AND p.id < s.id AND p.loaded_at IS NOT NULL ORDER BY p.id DESC LIMIT 1;

-- name: gone
WITH replaced AS (
    SELECT id FROM source
    WHERE superseded_at IS NULL AND loaded_at IS NOT NULL AND id NOT IN (SELECT value FROM json_each(:sources))
      AND path IN (SELECT path FROM source WHERE id IN (SELECT value FROM json_each(:sources)))),
staying AS (
    SELECT id FROM source
    WHERE superseded_at IS NULL
      AND (id IN (SELECT value FROM json_each(:sources)) OR path NOT IN (SELECT path FROM source WHERE id IN (SELECT value FROM json_each(:sources)))))
SELECT CASE WHEN EXISTS (SELECT 1 FROM replaced) THEN (SELECT count(*) FROM item i
WHERE i.state = 'pending' AND i.attempts = 0
  AND (i.id >> 40 IN (SELECT id FROM replaced)
       OR i.id IN (SELECT item FROM row WHERE source IN (SELECT id FROM replaced)))
  AND i.id >> 40 NOT IN (SELECT id FROM staying)
  AND NOT EXISTS (SELECT 1 FROM row r WHERE r.item = i.id
                  AND r.source IN (SELECT id FROM staying))) ELSE 0 END;

-- name: known_before
WITH confirmed AS (
    SELECT id FROM source WHERE confirmed_at IS NOT NULL AND id NOT IN (SELECT value FROM json_each(:sources)))
SELECT count(*) FROM (
    SELECT r.item FROM row r
    WHERE r.source IN (SELECT value FROM json_each(:sources)) AND r.item IS NOT NULL
      AND (r.item >> 40 IN (SELECT id FROM confirmed)
           OR EXISTS (SELECT 1 FROM row o WHERE o.item = r.item
                      AND o.source IN (SELECT id FROM confirmed)))
    UNION
    SELECT o.item FROM row o
    WHERE o.source IN (SELECT id FROM confirmed) AND o.item >> 40 IN (SELECT value FROM json_each(:sources)));

-- name: runs
SELECT run_id, command, started_at, ended_at, exit_code, reason FROM run ORDER BY id;

-- name: last_run
SELECT run_id, exit_code, reason FROM run ORDER BY id DESC LIMIT 1;

-- name: result_rows
SELECT source, row, org_id, target_group_id, target_id, customer_id, status, code, message,
       http_status, attempts, updated_at, request_id, place
FROM first_row
WHERE place BETWEEN :first AND :last
  AND (:states IS NULL OR status IN (SELECT value FROM json_each(:states)))
  AND (:codes IS NULL OR code IN (SELECT value FROM json_each(:codes)))
ORDER BY place;

-- name: other_result_rows
SELECT source, row, org_id, target_group_id, target_id, customer_id, status, code, message,
       http_status, attempts, updated_at, request_id, place
FROM other_row
WHERE source_id = :first >> 40
  AND row BETWEEN (:first & 0xFFFFFFFFFF) AND (:last & 0xFFFFFFFFFF)
  AND (:states IS NULL OR status IN (SELECT value FROM json_each(:states)))
  AND (:codes IS NULL OR code IN (SELECT value FROM json_each(:codes)))
ORDER BY row;

-- name: chunks
SELECT id FROM chunk
WHERE id BETWEEN :source << 40 AND (:source << 40) + 0xFFFFFFFFFF ORDER BY id;

-- name: chunk_cells
SELECT cells FROM chunk WHERE id = :place;

-- name: cells_apart
SELECT source << 40 | row, cells FROM row
WHERE source = :first >> 40
  AND row BETWEEN (:first & 0xFFFFFFFFFF) AND (:last & 0xFFFFFFFFFF)
  AND cells IS NOT NULL ORDER BY row;

-- name: headers
SELECT id, header FROM source WHERE loaded_at IS NOT NULL ORDER BY id;

-- name: explain_rows
SELECT s.name, s.sha256, r.row, nullif(t.org_id, 0), t.target_group_id, t.target_id,
       CASE WHEN r.repeats IS NOT NULL THEN 'duplicate' ELSE r.state END,
       CASE WHEN r.repeats IS NULL THEN r.code END,
       CASE WHEN r.repeats IS NOT NULL THEN 'repeats row ' || r.repeats ELSE r.message END,
       CASE WHEN s.superseded_at IS NOT NULL THEN 'superseded'
            WHEN s.confirmed_at IS NOT NULL THEN 'confirmed' ELSE 'planned' END
FROM (
    SELECT id >> 40 AS source, id & 0xFFFFFFFFFF AS row, NULL AS repeats, target, state, code,
           message
    FROM item WHERE customer_id = :customer
    UNION ALL
    SELECT o.source, o.row, o.repeats, i.target, i.state, i.code, i.message
    FROM item i JOIN row o ON o.item = i.id WHERE i.customer_id = :customer) r
JOIN target t ON t.id = r.target JOIN source s ON s.id = r.source
ORDER BY s.id, r.row;

-- name: explain_attempts
SELECT org_id, target_group_id, target_id, attempt, run_id, sent_at, answered_at, outcome, code,
       http_status, request_id
FROM attempt_history WHERE customer_id = :customer ORDER BY sent_at;

-- ── proving ──────────────────────────────────────────────────────────────────────────────────────

-- name: rows_of_sources
SELECT s.name, s.row_count,
       (SELECT count(*) FROM item
        WHERE id BETWEEN (s.id << 40) + 1 AND (s.id << 40) + s.row_count
          AND (state = 'pending' OR state IN (SELECT value FROM json_each(:states)))),
       (SELECT count(*) FROM row WHERE source = s.id AND row BETWEEN 1 AND s.row_count),
       (SELECT count(*) FROM row WHERE source = s.id AND cells IS NOT NULL),
       (SELECT coalesce(sum(row_count), 0) FROM chunk
        WHERE id BETWEEN s.id << 40 AND (s.id << 40) + 0xFFFFFFFFFF),
       (SELECT coalesce(sum(items), 0) FROM share WHERE source = s.id)
FROM source s WHERE s.loaded_at IS NOT NULL ORDER BY s.id;

-- name: numbers_of_rows
WITH unfinished AS (SELECT id FROM source WHERE loaded_at IS NULL)
SELECT (SELECT count(*) FROM item)
       - (SELECT count(*) FROM unfinished u JOIN item i
          ON i.id BETWEEN u.id << 40 AND (u.id << 40) + 0xFFFFFFFFFF),
       (SELECT count(*) FROM row)
       - (SELECT count(*) FROM unfinished u JOIN row r ON r.source = u.id);

-- name: rows_read_twice
SELECT count(*) FROM row r JOIN item i ON i.id = (r.source << 40 | r.row);

-- name: rows_without_item
SELECT count(*) FROM row r WHERE r.item IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM item i WHERE i.id = r.item);

-- name: rows_first_twice
SELECT count(*) FROM row r WHERE r.item IS NOT NULL AND r.repeats IS NULL
  AND (r.item >> 40 >= r.source OR EXISTS (
        SELECT 1 FROM row f WHERE f.item = r.item AND f.source = r.source AND f.row < r.row));

-- name: repeats_without_row
SELECT count(*) FROM row r WHERE r.repeats IS NOT NULL
  AND (r.repeats >= r.row OR r.item <> (r.source << 40 | r.repeats)) AND NOT EXISTS (
    SELECT 1 FROM row f WHERE f.source = r.source AND f.row = r.repeats AND f.item = r.item
      AND f.repeats IS NULL AND f.row < r.row);

-- name: unknown_states
SELECT count(*) FROM item
WHERE state <> 'pending' AND state NOT IN (SELECT value FROM json_each(:states));

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

-- name: has_other_orgs
SELECT CASE WHEN EXISTS (SELECT 1 FROM target WHERE org_id <> 0) THEN EXISTS (
    SELECT 1 FROM item WHERE state IN ('pending', 'in_doubt')
    AND target IN (SELECT id FROM target WHERE org_id <> 0)) ELSE 0 END;

-- name: worst_code
SELECT i.state, i.code, count(*) FROM item i
WHERE i.state IN ('failed', 'blocked', 'review') AND i.code IS NOT NULL
  AND (i.id >> 40 IN (SELECT value FROM json_each(:sources)) OR i.id IN (SELECT item FROM row WHERE source IN (SELECT value FROM json_each(:sources))
               AND item IS NOT NULL AND repeats IS NULL))
GROUP BY i.state, i.code ORDER BY i.state = 'review', count(*) DESC, i.code LIMIT 1;

-- name: planned_sources
SELECT id FROM source WHERE superseded_at IS NULL AND loaded_at IS NOT NULL ORDER BY id;

-- ── reporting ────────────────────────────────────────────────────────────────────────────────────

-- name: row_of
SELECT source, row, message FROM results
WHERE customer_id = :customer AND target_group_id = :group AND target_id = :target
  AND org_id IS :org AND status NOT IN ('invalid', 'duplicate')
  AND source_id IN (SELECT value FROM json_each(:sources))
ORDER BY source_id, row LIMIT 1;

-- name: report_runs
SELECT run_id, command, started_by, started_at, ended_at, exit_code, reason
FROM run ORDER BY id DESC LIMIT :most;

-- name: run_count
SELECT count(*) FROM run;

-- name: report_sources
SELECT name, sha256, row_count, confirmed_at, superseded_at
FROM source WHERE loaded_at IS NOT NULL ORDER BY id DESC LIMIT :most;

-- name: source_count
SELECT count(*) FROM source WHERE loaded_at IS NOT NULL;

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
                        THEN CAST((sent_at - :begin) / :width AS INTEGER) END AS slot,
                   CASE WHEN outcome IN ('succeeded', 'not_enrolled') THEN 'done'
                        WHEN outcome = 'unanswered' THEN 'unanswered'
                        ELSE 'refused' END AS kind,
                   CAST(min(max(answered_at - sent_at, 0), 3600) * 1000 AS INTEGER) AS ms
            FROM attempt)
      GROUP BY 1, 2, 3, 4) b
JOIN run u ON u.id = b.run;

-- name: tries
SELECT attempts, count(*) FROM item WHERE attempts > 0 GROUP BY attempts ORDER BY attempts;

-- name: sent_again
SELECT before.outcome, before.code, count(*) FILTER (WHERE again.run = before.run),
       count(*) FILTER (WHERE again.run <> before.run),
       avg(max(again.sent_at - coalesce(before.answered_at, before.sent_at), 0))
           FILTER (WHERE again.run = before.run),
       max(again.sent_at - coalesce(before.answered_at, before.sent_at))
           FILTER (WHERE again.run = before.run)
FROM attempt again
JOIN attempt before ON before.item = again.item AND before.attempt = again.attempt - 1
WHERE again.attempt > 1
GROUP BY before.outcome, before.code ORDER BY count(*) DESC, before.code LIMIT :most;

-- name: waiting
SELECT count(*), min(not_before) FROM item
WHERE state IN ('pending', 'in_doubt') AND not_before > 0;

-- name: slowest
SELECT s.took_s, s.sent_at, s.outcome, s.code, s.http_status,
       nullif(t.org_id, 0), t.target_group_id, t.target_id, i.customer_id
FROM (SELECT item, answered_at - sent_at AS took_s, sent_at, outcome, code, http_status
      FROM attempt WHERE answered_at IS NOT NULL
      ORDER BY answered_at - sent_at DESC LIMIT :most) s
JOIN item i ON i.id = s.item
JOIN target t ON t.id = i.target
ORDER BY s.took_s DESC;
