-- +goose Up

-- What a session left to authenticate the next one of the same two people, whose ids are in order, sealed under the master
-- key. Whoever uses it removes its row first.
CREATE TABLE qkd_secrets (
    session TEXT NOT NULL PRIMARY KEY CHECK (length(session) = 32),
    one     TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    other   TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE CHECK (other > one),
    sealed  BLOB NOT NULL CHECK (length(sealed) > 0),
    UNIQUE (one, other)
) STRICT;
CREATE INDEX qkd_secrets_other ON qkd_secrets (other);

-- Which session left the secret that authenticated this one; empty where it was drawn.
ALTER TABLE qkd_sessions ADD COLUMN secret_from TEXT NOT NULL DEFAULT '';
CREATE UNIQUE INDEX qkd_sessions_secret ON qkd_sessions (secret_from) WHERE secret_from <> '';
