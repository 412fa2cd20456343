-- Tables and triggers. Times are Unix seconds; org_id 0 is SELF.
-- A place is an input row as one number: see places.py.

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

-- name: schema_4
CREATE TABLE noticed (                      -- what was noticed while a source was read
    source INTEGER PRIMARY KEY REFERENCES source (id),
    facts  TEXT NOT NULL                    -- JSON
) STRICT;

CREATE TABLE line (                         -- rows whose line does not follow that of the row before
    source INTEGER NOT NULL REFERENCES source (id),
    row    INTEGER NOT NULL,
    line   INTEGER NOT NULL,
    PRIMARY KEY (source, row)
) STRICT, WITHOUT ROWID;

CREATE TABLE part (                         -- the parts of a folder or glob, by its name
    name   TEXT NOT NULL,
    source INTEGER NOT NULL REFERENCES source (id),
    PRIMARY KEY (name, source)
) STRICT, WITHOUT ROWID;

CREATE TABLE alarm_round (                  -- the alarms of a plan or run, and who looked at it
    id       INTEGER PRIMARY KEY,
    noted_at REAL NOT NULL,
    noted_by TEXT,                          -- user@host
    alarms   TEXT NOT NULL                  -- JSON: name, text, allowed
) STRICT;

-- name: new_id
-- Copies of a ledger have it in common, and nothing else has.
INSERT INTO meta (name, value) VALUES ('id', lower(hex(randomblob(16))));

-- name: set_meta
INSERT INTO meta (name, value) VALUES (:name, :value)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- name: make_indexes
-- this is the dedupe
CREATE UNIQUE INDEX IF NOT EXISTS item_key ON item (customer_id, target);
