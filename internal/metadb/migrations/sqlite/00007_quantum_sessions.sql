-- +goose Up

-- Sessions that made quantum keys for two people, or none. result is JSON without any bit of a key; it is empty until the
-- session has ended, and where it failed.
CREATE TABLE qkd_sessions (
    id         TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    master     TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    slave      TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE CHECK (slave <> master),
    state      TEXT NOT NULL CHECK (state IN ('running', 'done', 'aborted', 'failed')),
    result     TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER CHECK ((ended_at IS NULL) = (state = 'running'))
) STRICT;
CREATE INDEX qkd_sessions_started ON qkd_sessions (started_at, id);
CREATE INDEX qkd_sessions_pair ON qkd_sessions (master, slave, started_at, id);
CREATE INDEX qkd_sessions_slave ON qkd_sessions (slave);
