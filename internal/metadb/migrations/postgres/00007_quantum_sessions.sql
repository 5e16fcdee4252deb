-- +goose Up

-- Sessions that made quantum keys for two people, or none. result is JSON without any bit of a key; it is empty until the
-- session has ended, and where it failed.
CREATE TABLE qkd_sessions (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    master     TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    slave      TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE CHECK (slave <> master),
    state      TEXT COLLATE "C" NOT NULL CHECK (state IN ('running', 'done', 'aborted', 'failed')),
    result     TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT CHECK ((ended_at IS NULL) = (state = 'running'))
);
CREATE INDEX qkd_sessions_started ON qkd_sessions (started_at, id);
CREATE INDEX qkd_sessions_pair ON qkd_sessions (master, slave, started_at, id);
CREATE INDEX qkd_sessions_slave ON qkd_sessions (slave);
