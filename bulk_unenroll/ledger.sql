-- Every statement of the ledger, each under its name. Times are Unix seconds; org_id 0 is SELF.

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
    id          INTEGER PRIMARY KEY,
    target      INTEGER NOT NULL REFERENCES target (id),
    customer_id INTEGER NOT NULL,
    seen_source INTEGER NOT NULL,           -- the last source read that holds it, and in which row
    seen_row    INTEGER NOT NULL,
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
    mismatch    INTEGER NOT NULL DEFAULT 0, -- the answer echoed another customer
    UNIQUE (customer_id, target)            -- this is the dedupe
) STRICT;
CREATE INDEX item_pending ON item (target) WHERE state = 'pending';
CREATE INDEX item_due ON item (not_before)
    WHERE not_before > 0 AND state IN ('pending', 'in_doubt');

CREATE TABLE row (                          -- one input row
    source  INTEGER NOT NULL REFERENCES source (id),
    row     INTEGER NOT NULL,
    item    INTEGER REFERENCES item (id),   -- NULL: invalid
    repeats INTEGER,                        -- the earlier row of this source that it repeats
    code    TEXT,                           -- why it is invalid
    message TEXT,
    cells   TEXT NOT NULL,                  -- JSON: the row as it was
    PRIMARY KEY (source, row)
) STRICT, WITHOUT ROWID;
CREATE INDEX row_item ON row (item) WHERE item IS NOT NULL;

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
CREATE VIEW results AS
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
    r.cells AS input,
    r.source AS source_id
FROM row r
JOIN source s ON s.id = r.source
LEFT JOIN item i ON i.id = r.item
LEFT JOIN target t ON t.id = i.target
WHERE s.loaded_at IS NOT NULL
  AND (s.superseded_at IS NULL
       OR (r.item IS NOT NULL AND r.repeats IS NULL AND NOT EXISTS (
            SELECT 1 FROM row n JOIN source ns ON ns.id = n.source
            WHERE n.item = r.item AND n.source <> r.source
              AND (ns.superseded_at IS NULL OR n.source > r.source))));

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

-- name: has_started_by
SELECT count(*) FROM pragma_table_info('run') WHERE name = 'started_by';

-- name: add_started_by
ALTER TABLE run ADD COLUMN started_by TEXT;

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

-- name: stage_table
CREATE TEMP TABLE IF NOT EXISTS stage (
    row INTEGER PRIMARY KEY, target INTEGER, customer_id INTEGER, code TEXT, message TEXT,
    cells TEXT NOT NULL
) STRICT;

-- name: stage_row
INSERT INTO stage (row, target, customer_id, code, message, cells) VALUES (?, ?, ?, ?, ?, ?);

-- name: load_items
INSERT INTO item (target, customer_id, seen_source, seen_row)
SELECT target, customer_id, :source, row FROM stage WHERE target IS NOT NULL ORDER BY row
ON CONFLICT (customer_id, target) DO UPDATE
SET seen_source = excluded.seen_source, seen_row = excluded.seen_row
WHERE seen_source <> excluded.seen_source;

-- name: load_rows
INSERT INTO row (source, row, item, repeats, code, message, cells)
SELECT :source, s.row, i.id, nullif(i.seen_row, s.row), s.code, s.message, s.cells
FROM stage s
LEFT JOIN item i ON i.customer_id = s.customer_id AND i.target = s.target
ORDER BY s.row;

-- name: clear_stage
DELETE FROM stage;

-- name: source_loaded
UPDATE source SET loaded_at = :now, row_count = :row_count WHERE id = :source;

-- name: plan_again
UPDATE source SET confirmed_at = NULL, superseded_at = NULL
WHERE id = :source AND superseded_at IS NOT NULL;

-- name: unfinished_sources
SELECT id FROM source WHERE loaded_at IS NULL;

-- name: orphans_of_source
CREATE TEMP TABLE orphan AS
SELECT DISTINCT r.item AS item FROM row r JOIN item i ON i.id = r.item
WHERE r.source = :source AND i.attempts = 0 AND i.state = 'pending'
  AND NOT EXISTS (SELECT 1 FROM row o WHERE o.item = r.item AND o.source <> :source);

-- name: drop_rows
DELETE FROM row WHERE source = :source;

-- name: drop_orphans
DELETE FROM item WHERE id IN (SELECT item FROM orphan);

-- name: forget_orphans
DROP TABLE orphan;

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
  AND NOT EXISTS (SELECT 1 FROM row r JOIN source s ON s.id = r.source
                  WHERE r.item = item.id AND s.superseded_at IS NULL);

-- name: unwithdraw
UPDATE item SET state = 'pending', updated_at = :now
WHERE state = 'withdrawn'
  AND EXISTS (SELECT 1 FROM row r WHERE r.item = item.id AND r.source = :source);

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
WHERE state = 'pending' AND not_before > 0 AND not_before <= :now;

-- name: schedule_doubts
UPDATE item SET not_before = CASE
    WHEN NOT EXISTS (SELECT 1 FROM row r JOIN run_source s ON s.source = r.source
                     WHERE r.item = item.id AND s.run = :run) THEN NULL
    WHEN doubt_at IS NULL THEN coalesce(not_before, :now)
    WHEN :resend AND doubt_at > :cutoff THEN coalesce(not_before, :now)
END
WHERE state = 'in_doubt';

-- name: park_stale_doubts
UPDATE item SET not_before = NULL
WHERE state = 'in_doubt' AND not_before > 0 AND not_before <= :now AND doubt_at <= :cutoff;

-- name: run_targets
SELECT t.id, t.org_id, t.target_group_id, t.target_id FROM target t
WHERE EXISTS (SELECT 1 FROM item i WHERE i.target = t.id AND i.state = 'pending') ORDER BY t.id;

-- name: due
SELECT i.id, t.org_id, t.target_group_id, t.target_id, i.customer_id,
       CASE WHEN i.run = :run THEN i.tries ELSE 0 END, i.doubtful
FROM item i JOIN target t ON t.id = i.target
WHERE i.state IN ('pending', 'in_doubt') AND i.not_before > 0 AND i.not_before <= :now
  AND (:only IS NULL OR i.id IN (SELECT value FROM json_each(:only)))
  AND t.org_id NOT IN (SELECT value FROM json_each(:halted))
  AND EXISTS (SELECT 1 FROM row r JOIN run_source s ON s.source = r.source
              WHERE r.item = i.id AND s.run = :run)
ORDER BY i.not_before LIMIT :most;

-- name: next_due
SELECT i.not_before FROM item i JOIN target t ON t.id = i.target
WHERE i.state IN ('pending', 'in_doubt') AND i.not_before > 0
  AND (:only IS NULL OR i.id IN (SELECT value FROM json_each(:only)))
  AND t.org_id NOT IN (SELECT value FROM json_each(:halted))
  AND EXISTS (SELECT 1 FROM row r JOIN run_source s ON s.source = r.source
              WHERE r.item = i.id AND s.run = :run)
ORDER BY i.not_before LIMIT 1;

-- name: fresh
SELECT i.id, t.org_id, t.target_group_id, t.target_id, i.customer_id, 0, i.doubtful
FROM item i JOIN target t ON t.id = i.target
WHERE i.target = :target AND i.state = 'pending' AND i.not_before = 0 AND i.id > :after
  AND EXISTS (SELECT 1 FROM row r JOIN run_source s ON s.source = r.source
              WHERE r.item = i.id AND s.run = :run)
ORDER BY i.id LIMIT :most;

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
UPDATE item SET state = 'blocked', code = :code, message = :message, updated_at = :now
WHERE state = 'pending'
  AND target IN (SELECT id FROM target WHERE org_id = :org AND target_group_id = :group
                 AND (:target IS NULL OR target_id = :target))
  AND EXISTS (SELECT 1 FROM row r JOIN run_source s ON s.source = r.source
              WHERE r.item = item.id AND s.run = :run);

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
  AND EXISTS (SELECT 1 FROM row r JOIN source s ON s.id = r.source
              WHERE r.item = item.id AND s.confirmed_at IS NOT NULL AND s.superseded_at IS NULL);

-- name: recent_starts
SELECT sent_at, answered_at FROM attempt ORDER BY id DESC;

-- ── reading ──────────────────────────────────────────────────────────────────────────────────────

-- name: row_counts
SELECT count(*), count(*) - count(item) FROM row
WHERE source IN (SELECT value FROM json_each(:sources));

-- name: item_counts
SELECT i.state, i.code, count(*), sum(i.attempts), sum(i.mismatch)
FROM item i
WHERE i.id IN (SELECT item FROM row
               WHERE source IN (SELECT value FROM json_each(:sources)) AND item IS NOT NULL)
GROUP BY i.state, i.code;

-- name: withdrawn_count
SELECT count(*) FROM item WHERE state = 'withdrawn';

-- name: doubts_left
SELECT count(*) FROM item WHERE state = 'in_doubt';

-- name: callable_count
SELECT count(*) FROM item i
WHERE (i.state = 'pending'
       OR (i.state = 'in_doubt' AND (doubt_at IS NULL OR (:resend AND doubt_at > :cutoff))))
  AND i.id IN (SELECT item FROM row
               WHERE source IN (SELECT value FROM json_each(:sources)) AND item IS NOT NULL);

-- name: target_counts
SELECT nullif(t.org_id, 0), t.target_group_id, t.target_id, i.state, i.code, count(*),
       min(i.customer_id)
FROM item i JOIN target t ON t.id = i.target
WHERE i.id IN (SELECT item FROM row
               WHERE source IN (SELECT value FROM json_each(:sources)) AND item IS NOT NULL)
GROUP BY t.id, i.state, i.code ORDER BY t.id;

-- name: invalid_counts
SELECT r.code, count(*), min(r.row), (SELECT f.message FROM row f
    WHERE f.source = r.source AND f.item IS NULL AND f.code = r.code ORDER BY f.row LIMIT 1)
FROM row r
WHERE r.source IN (SELECT value FROM json_each(:sources)) AND r.item IS NULL
GROUP BY r.code ORDER BY count(*) DESC;

-- name: phone_like
SELECT count(*), sum(customer_id BETWEEN 1000000000 AND 999999999999) FROM item
WHERE id IN (SELECT item FROM row
             WHERE source IN (SELECT value FROM json_each(:sources)) AND item IS NOT NULL);

-- name: swapped_before
SELECT count(*) FROM target n JOIN target o
ON o.target_group_id = n.target_id AND o.target_id = n.target_group_id
WHERE n.target_id <> n.target_group_id
  AND EXISTS (SELECT 1 FROM item i WHERE i.target = o.id AND i.state = 'succeeded')
  AND EXISTS (SELECT 1 FROM item i JOIN row r ON r.item = i.id
              WHERE i.target = n.id AND r.source IN (SELECT value FROM json_each(:sources)));

-- name: source_facts
SELECT id, name, path, sha256, row_count, header, confirmed_at IS NOT NULL,
       superseded_at IS NOT NULL
FROM source WHERE id IN (SELECT value FROM json_each(:sources)) ORDER BY id;

-- name: previous_rows
SELECT p.row_count FROM source p JOIN source s ON s.path = p.path
WHERE s.id = :source AND p.id < s.id AND p.loaded_at IS NOT NULL ORDER BY p.id DESC LIMIT 1;

-- name: gone
SELECT count(DISTINCT r.item) FROM row r
JOIN source o ON o.id = r.source
JOIN item i ON i.id = r.item
WHERE o.superseded_at IS NULL AND o.loaded_at IS NOT NULL
  AND o.path IN (SELECT path FROM source WHERE id IN (SELECT value FROM json_each(:sources)))
  AND o.id NOT IN (SELECT value FROM json_each(:sources))
  AND i.state = 'pending' AND i.attempts = 0
  AND NOT EXISTS (
    SELECT 1 FROM row k JOIN source ks ON ks.id = k.source
    WHERE k.item = r.item AND ks.superseded_at IS NULL
      AND (ks.id IN (SELECT value FROM json_each(:sources))
           OR ks.path NOT IN (SELECT path FROM source
                              WHERE id IN (SELECT value FROM json_each(:sources)))));

-- name: known_before
SELECT count(*) FROM item i
WHERE EXISTS (SELECT 1 FROM row r WHERE r.item = i.id
              AND r.source IN (SELECT value FROM json_each(:sources)))
  AND EXISTS (SELECT 1 FROM row r JOIN source s ON s.id = r.source WHERE r.item = i.id
              AND s.confirmed_at IS NOT NULL
              AND r.source NOT IN (SELECT value FROM json_each(:sources)));

-- name: runs
SELECT run_id, command, started_at, ended_at, exit_code, reason FROM run ORDER BY id;

-- name: last_run
SELECT run_id, exit_code, reason FROM run ORDER BY id DESC LIMIT 1;

-- name: result_rows
SELECT source, row, org_id, target_group_id, target_id, customer_id, status, code, message,
       http_status, attempts, updated_at, request_id, input, source_id
FROM results
WHERE (:sources IS NULL OR source_id IN (SELECT value FROM json_each(:sources)))
  AND (:states IS NULL OR status IN (SELECT value FROM json_each(:states)))
  AND (:codes IS NULL OR code IN (SELECT value FROM json_each(:codes)))
ORDER BY source_id, row;

-- name: headers
SELECT id, header FROM source WHERE loaded_at IS NOT NULL ORDER BY id;

-- name: explain_rows
SELECT s.name, s.sha256, r.row, nullif(t.org_id, 0), t.target_group_id, t.target_id,
       CASE WHEN r.repeats IS NOT NULL THEN 'duplicate' ELSE i.state END,
       CASE WHEN r.repeats IS NULL THEN i.code END,
       CASE WHEN r.repeats IS NOT NULL THEN 'repeats row ' || r.repeats ELSE i.message END,
       CASE WHEN s.superseded_at IS NOT NULL THEN 'superseded'
            WHEN s.confirmed_at IS NOT NULL THEN 'confirmed' ELSE 'planned' END
FROM item i JOIN target t ON t.id = i.target
JOIN row r ON r.item = i.id JOIN source s ON s.id = r.source
WHERE i.customer_id = :customer ORDER BY s.id, r.row;

-- name: explain_attempts
SELECT org_id, target_group_id, target_id, attempt, run_id, sent_at, answered_at, outcome, code,
       http_status, request_id
FROM attempt_history WHERE customer_id = :customer ORDER BY sent_at;

-- ── proving ──────────────────────────────────────────────────────────────────────────────────────

-- name: rows_of_sources
SELECT s.id, s.name, s.row_count, count(r.row), coalesce(max(r.row), 0)
FROM source s LEFT JOIN row r ON r.source = s.id
WHERE s.loaded_at IS NOT NULL GROUP BY s.id
HAVING s.row_count <> count(r.row) OR s.row_count <> coalesce(max(r.row), 0);

-- name: items_without_row
SELECT count(*) FROM item i WHERE NOT EXISTS (
    SELECT 1 FROM row r WHERE r.item = i.id AND r.repeats IS NULL);

-- name: rows_without_item
SELECT count(*) FROM row r WHERE r.item IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM item i WHERE i.id = r.item);

-- name: repeats_without_row
SELECT count(*) FROM row r WHERE r.repeats IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM row f WHERE f.source = r.source AND f.row = r.repeats AND f.item = r.item
      AND f.repeats IS NULL AND f.row < r.row);

-- name: unknown_states
SELECT count(*) FROM item WHERE state NOT IN (SELECT value FROM json_each(:states));

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
SELECT EXISTS (SELECT 1 FROM target t WHERE t.org_id <> 0 AND EXISTS (
    SELECT 1 FROM item i WHERE i.target = t.id AND i.state IN ('pending', 'in_doubt')));

-- name: worst_code
SELECT i.state, i.code, count(*) FROM item i
WHERE i.state IN ('failed', 'blocked', 'review') AND i.code IS NOT NULL
  AND i.id IN (SELECT item FROM row
               WHERE source IN (SELECT value FROM json_each(:sources)) AND item IS NOT NULL)
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

-- name: report_runs_of_version_1
SELECT run_id, command, NULL, started_at, ended_at, exit_code, reason
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
