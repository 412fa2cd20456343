-- Tables and triggers of one job, in a schema of its own. Times are Unix seconds; org_id 0 is SELF.
-- A place is an input row as one number: see places.py.
--
-- A customer/target is written once, by COPY, and never changed. What becomes of it is one row
-- elsewhere: of `flight` while it is being called, of `agenda` while it waits to be called again or
-- is in doubt, of `outcome` once it is settled. Who has none is pending and was never tried. So a
-- claim touches no wide table, and what is indexed does not change.

-- name: schema
CREATE TYPE state AS ENUM (
    'pending', 'sending', 'succeeded', 'not_enrolled', 'failed', 'blocked', 'review', 'in_doubt',
    'withdrawn');

CREATE TABLE meta (
    name  text PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE source (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path          text NOT NULL,
    name          text NOT NULL,
    sha256        text NOT NULL,
    reading       text NOT NULL,            -- how it was read: mapping, constants, delimiter
    header        text NOT NULL,            -- JSON: the input's own columns
    loaded_at     float8 NOT NULL,
    confirmed_at  float8,
    superseded_at float8,
    row_count     bigint NOT NULL,
    noticed       text NOT NULL DEFAULT '{}', -- JSON: what was noticed while it was read
    UNIQUE (path, sha256, reading)
);

CREATE TABLE part (                         -- the parts of a folder or glob, by its name
    name   text NOT NULL,
    source bigint NOT NULL REFERENCES source,
    PRIMARY KEY (name, source)
);

CREATE TABLE arriving (                     -- a part of an order that several processes load
    number    integer PRIMARY KEY,          -- its place in the order
    source    bigint NOT NULL,              -- the id that is kept for it
    file      text,                         -- JSON: how it is found; NULL: not by others
    content   text NOT NULL,                -- what tells whether a file elsewhere is the same
    done      boolean NOT NULL DEFAULT false,
    info      text,                         -- JSON: what identifies it, once it is read
    row_count bigint NOT NULL DEFAULT 0,
    noticed   text
);

CREATE TABLE division (                     -- of the customers of that order, to be sorted out
    number integer PRIMARY KEY,
    done   boolean NOT NULL DEFAULT false
);

CREATE TABLE target (
    id              integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    org_id          bigint NOT NULL,
    target_group_id bigint NOT NULL,
    target_id       bigint NOT NULL,
    place           bigint NOT NULL DEFAULT 0, -- about where it comes first: the order of targets
    UNIQUE (org_id, target_group_id, target_id)
);

CREATE TABLE item (                         -- one customer/target; its indexes: see make_indexes
    id          bigint NOT NULL,            -- the place where it stands first in this job
    customer_id bigint NOT NULL,
    target      integer NOT NULL
) WITH (fillfactor = 100);

CREATE TABLE row (                          -- an input row that is not the first of an item
    source  bigint NOT NULL,
    row     bigint NOT NULL,
    item    bigint,                         -- NULL: invalid
    repeats bigint,                         -- the earlier row of this source that it repeats
    code    text,                           -- why it is invalid
    message text,
    cells   text,                           -- JSON: the row as it was, if it is not in its chunk
    PRIMARY KEY (source, row)
);
CREATE INDEX row_item ON row (item) WHERE item IS NOT NULL;

CREATE TABLE chunk (                        -- some rows that follow each other, as they were
    id        bigint PRIMARY KEY,           -- the place of the first of them
    row_count bigint NOT NULL,
    cells     bytea NOT NULL
);

CREATE TABLE line (                         -- rows whose line does not follow that of the row before
    source bigint NOT NULL,
    row    bigint NOT NULL,
    line   bigint NOT NULL,
    PRIMARY KEY (source, row)
);

CREATE TABLE share (                        -- how much of a source's items falls to a target
    source     bigint NOT NULL,
    target     integer NOT NULL,
    items      bigint NOT NULL,
    first_item bigint NOT NULL,
    PRIMARY KEY (source, target)
);

CREATE TABLE run (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id     text NOT NULL UNIQUE,
    command    text NOT NULL,
    sources    bigint[] NOT NULL,
    started_at float8 NOT NULL,
    ended_at   float8,
    exit_code  integer,
    reason     text,
    started_by text,                        -- user@host
    joinable   boolean NOT NULL DEFAULT true, -- by other senders
    stop_code  integer,                     -- why all senders stop
    stop_reason text,
    canary_sender bigint,                   -- who makes the first calls
    canary_passed_at float8
);

CREATE TABLE sender (                       -- it may send while nobody has given it up
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run       integer NOT NULL,
    name      text NOT NULL,                -- user@host
    joined_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    turn      bigint NOT NULL DEFAULT 0,
    settled   bigint NOT NULL DEFAULT 0,
    bad       bigint NOT NULL DEFAULT 0,
    not_enrolled bigint NOT NULL DEFAULT 0,
    ended_at  timestamptz,
    fenced_at timestamptz
) WITH (fillfactor = 20);

CREATE TABLE slice (                        -- rows that follow each other, called by one sender
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run         integer NOT NULL,
    kind        text NOT NULL,
    after_place bigint NOT NULL,
    last_place  bigint NOT NULL,
    sender      bigint,
    done        boolean NOT NULL DEFAULT false,
    all_tried   boolean NOT NULL DEFAULT false -- or settled; what waits among them is in the agenda
) WITH (fillfactor = 50);
CREATE INDEX slice_open ON slice (run, id) WHERE NOT done;
CREATE INDEX slice_tried ON slice (after_place) WHERE all_tried;

CREATE TABLE flight (                       -- the intent: durable before the call can leave
    item       bigint PRIMARY KEY,
    sender     bigint NOT NULL,
    target     integer NOT NULL,
    run        integer NOT NULL,
    attempts   integer NOT NULL,            -- on record
    tries      integer NOT NULL,            -- charged in that run
    claimed_at float8 NOT NULL,
    doubt_at   float8,                      -- as in agenda
    doubtful   boolean NOT NULL,
    mismatch   boolean NOT NULL,            -- the last answer echoed another customer
    code       text                         -- of the last attempt
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

CREATE TABLE block (                        -- what the API refuses: a target, or a whole group
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run             integer NOT NULL,
    sender          bigint NOT NULL,        -- who found it
    org_id          bigint NOT NULL,
    target_group_id bigint NOT NULL,
    target_id       bigint,                 -- NULL: all of the group
    code            text NOT NULL,
    message         text NOT NULL,
    settled_to      bigint DEFAULT 0        -- up to this place; NULL: all that was pending
);

CREATE TABLE agenda (                       -- pending and tried before, or in doubt
    item       bigint PRIMARY KEY,
    target     integer NOT NULL,
    run        integer,                     -- the last one that claimed it
    attempts   integer NOT NULL,
    tries      integer NOT NULL,            -- charged in that run
    not_before float8,                      -- 0: in the order of rows; NULL: not by itself
    doubt_at   float8,                      -- when the unanswered attempt was sent; NULL: reopened
    doubtful   boolean NOT NULL,            -- that attempt may still have been applied: in doubt
    mismatch   boolean NOT NULL,
    code       text
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX agenda_due ON agenda (not_before, item) WHERE not_before > 0;
CREATE INDEX agenda_in_line ON agenda (item) WHERE not_before = 0;
CREATE INDEX agenda_doubt ON agenda (item) WHERE doubtful;

CREATE TABLE outcome (                      -- settled; what did not succeed may be reopened
    item       bigint PRIMARY KEY,
    target     integer NOT NULL,
    attempts   integer NOT NULL,
    state      state NOT NULL
        CHECK (state IN ('succeeded', 'not_enrolled', 'failed', 'blocked', 'review', 'withdrawn')),
    doubtful   boolean NOT NULL,            -- under review, and an attempt is unanswered
    mismatch   boolean NOT NULL,
    code       text,
    not_before float8                       -- of who is withdrawn, as it was in the agenda
);

CREATE TABLE attempt (                      -- written once, with its outcome; never changed
    item        bigint NOT NULL,
    sent_at     float8 NOT NULL,
    answered_at float8,
    run         integer NOT NULL,
    attempt     integer NOT NULL,
    http_status integer,
    outcome     text NOT NULL,
    code        text,
    message     text,
    request_id  text,
    PRIMARY KEY (item, attempt)
);
-- What was sent lately is nearly all at the end: this costs nothing for each row.
CREATE INDEX attempt_sent ON attempt USING brin (sent_at) WITH (pages_per_range = 32);

-- What is said of a customer/target beside its attempts. It holds until the next one is on record.
CREATE TABLE remark (
    item     bigint PRIMARY KEY,
    attempts integer NOT NULL,
    message  text,
    at       float8 NOT NULL
);

CREATE TABLE alarm_round (                  -- the alarms of a plan or run, and who looked at it
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    noted_at float8 NOT NULL,
    noted_by text,                          -- user@host
    alarms   text NOT NULL                  -- JSON: name, text, allowed
);

-- Raised within a turn, so that nothing else of it takes effect: a number of rows is seen too late.
CREATE FUNCTION fence(who bigint, was bigint, new_settled bigint, new_bad bigint, new_gone bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sender SET seen_at = clock_timestamp(), turn = was + 1, settled = settled + new_settled,
        bad = bad + new_bad, not_enrolled = not_enrolled + new_gone
    WHERE id = who AND turn = was AND fenced_at IS NULL AND ended_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this sender was given up' USING ERRCODE = 'BU001';
    END IF;
END $$;

-- The legal changes of a state that the tables do not enforce by themselves.
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'BU002';
END $$;

CREATE TRIGGER attempt_unchanged BEFORE UPDATE ON attempt
FOR EACH ROW EXECUTE FUNCTION refuse('an attempt on record never changes');

CREATE TRIGGER outcome_unchanged BEFORE UPDATE ON outcome
FOR EACH ROW EXECUTE FUNCTION refuse('illegal transition of state');

CREATE TRIGGER settled_for_good BEFORE DELETE ON outcome
FOR EACH ROW WHEN (OLD.state IN ('succeeded', 'not_enrolled'))
EXECUTE FUNCTION refuse('illegal transition of state');

-- name: make_indexes
-- The second one is the dedupe: it proves that no customer/target is there twice.
CREATE UNIQUE INDEX item_place ON item (id);
CREATE UNIQUE INDEX item_key ON item (customer_id, target);
