-- +goose Up

CREATE TABLE audit_logs (
    id          INTEGER NOT NULL PRIMARY KEY CHECK (id > 0),
    origin      TEXT NOT NULL UNIQUE CHECK (origin <> ''),
    public      TEXT NOT NULL CHECK (public <> ''),
    sealed_seed BLOB NOT NULL CHECK (length(sealed_seed) > 0),
    begun_at    INTEGER NOT NULL
) STRICT;

-- The head of each log: what the next events are added to.
CREATE TABLE audit_heads (
    log  INTEGER NOT NULL PRIMARY KEY REFERENCES audit_logs (id),
    size INTEGER NOT NULL CHECK (size >= 0),
    root BLOB NOT NULL CHECK (length(root) = 32)
) STRICT;

-- Rows are added at the end, keep their length and are never deleted, so that SQLite never moves one to
-- another page, where a copy would outlive its erasure: an erased key is overwritten in its place. The log's
-- own key has no person; an erased one has a name of the same length that is nobody's.
CREATE TABLE audit_keys (
    number INTEGER NOT NULL PRIMARY KEY CHECK (number > 0),
    person TEXT NOT NULL UNIQUE CHECK (length(person) IN (0, 32)),
    sealed BLOB NOT NULL CHECK (length(sealed) > 0)
) STRICT;

-- log and leaf_index are NULL until the event has its place in the tree. A key is NULL where a part is
-- sealed under the log's own. The unique index also finds the events without a place, in the order of id.
CREATE TABLE audit_events (
    id          INTEGER NOT NULL PRIMARY KEY,
    log         INTEGER REFERENCES audit_logs (id),
    leaf_index  INTEGER CHECK (leaf_index >= 0),
    leaf        BLOB NOT NULL CHECK (length(leaf) = 108),
    operational BLOB NOT NULL,
    actor_key   INTEGER REFERENCES audit_keys (number),
    actor       BLOB,
    subject_key INTEGER REFERENCES audit_keys (number),
    subject     BLOB,
    UNIQUE (log, leaf_index),
    CHECK ((log IS NULL) = (leaf_index IS NULL)),
    CHECK (actor_key IS NULL OR actor IS NOT NULL),
    CHECK (subject_key IS NULL OR subject IS NOT NULL)
) STRICT;
CREATE INDEX audit_events_actor ON audit_events (actor_key) WHERE actor_key IS NOT NULL;
CREATE INDEX audit_events_subject ON audit_events (subject_key) WHERE subject_key IS NOT NULL;

-- A tile is replaced by a wider one until it is full.
CREATE TABLE audit_tiles (
    log      INTEGER NOT NULL REFERENCES audit_logs (id),
    level    INTEGER NOT NULL CHECK (level BETWEEN 0 AND 5),
    position INTEGER NOT NULL CHECK (position >= 0),
    hashes   BLOB NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (log, level, position)
) STRICT;

CREATE TABLE audit_checkpoints (
    log       INTEGER NOT NULL REFERENCES audit_logs (id),
    size      INTEGER NOT NULL CHECK (size >= 0),
    text      BLOB NOT NULL CHECK (length(text) > 0),
    signed_at INTEGER NOT NULL,
    PRIMARY KEY (log, size)
) STRICT;
