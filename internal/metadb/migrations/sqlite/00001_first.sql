-- +goose Up

-- Two programs that migrate at once cannot both record a step, so the later one's transaction fails.
CREATE UNIQUE INDEX goose_db_version_once ON goose_db_version (version_id);

-- This table keeps its shape for ever: older programs read it to say which program wrote the database.
CREATE TABLE schema_writer (
    one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    program TEXT NOT NULL
) STRICT;

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE people (
    id            TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    name          TEXT NOT NULL CHECK (name <> ''),
    name_key      TEXT NOT NULL UNIQUE CHECK (name_key <> ''),
    role          TEXT NOT NULL CHECK (role IN ('admin', 'manager', 'user')),
    password_hash TEXT NOT NULL,
    epoch         INTEGER NOT NULL CHECK (epoch >= 0),
    active        INTEGER NOT NULL CHECK (active IN (0, 1)),
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL
) STRICT;

-- person is NULL for everybody's identities (root, recovery, vault); the unique index reads it as ''.
CREATE TABLE identities (
    id            TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    kind          TEXT NOT NULL CHECK (kind IN ('root', 'recovery', 'person', 'vault')),
    person        TEXT REFERENCES people (id),
    version       INTEGER NOT NULL CHECK (version >= 1),
    suite         INTEGER NOT NULL CHECK (suite BETWEEN 1 AND 255),
    fingerprint   BLOB NOT NULL UNIQUE CHECK (length(fingerprint) IN (32, 48)),
    public        BLOB NOT NULL CHECK (length(public) > 0),
    certificate   BLOB,
    wrapped_seeds BLOB,
    created_at    INTEGER NOT NULL,
    retired_at    INTEGER,
    CHECK ((kind = 'person') = (person IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX identities_version ON identities (kind, coalesce(person, ''), version);

-- parent is '' in the root folder of a person, never NULL: NULLs are distinct in a unique index, and a
-- root could then hold a name twice. That parent is a folder of the same owner is seen to by the
-- program, since '' names no row. Each index below is one order of a folder's list.
CREATE TABLE nodes (
    id          TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    owner       TEXT NOT NULL REFERENCES people (id),
    parent      TEXT NOT NULL CHECK (length(parent) IN (0, 32) AND parent <> id),
    name        TEXT NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 255),
    kind        TEXT NOT NULL CHECK (kind IN ('folder', 'file')),
    current     TEXT CHECK (length(current) = 32),
    size        INTEGER NOT NULL CHECK (size >= 0),
    media_type  TEXT NOT NULL,
    modified_at INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    UNIQUE (owner, parent, name),
    CHECK ((kind = 'file') = (current IS NOT NULL))
) STRICT;
CREATE INDEX nodes_size ON nodes (owner, parent, size, id);
CREATE INDEX nodes_media_type ON nodes (owner, parent, media_type, id);
CREATE INDEX nodes_modified_at ON nodes (owner, parent, modified_at, id);
CREATE INDEX nodes_created_at ON nodes (owner, parent, created_at, id);

CREATE TABLE versions (
    file_id         TEXT NOT NULL PRIMARY KEY CHECK (length(file_id) = 32),
    document        TEXT NOT NULL REFERENCES nodes (id),
    number          INTEGER NOT NULL CHECK (number >= 1),
    owner           TEXT NOT NULL REFERENCES people (id),
    revision        INTEGER NOT NULL CHECK (revision >= 0),
    manifest_digest BLOB NOT NULL CHECK (length(manifest_digest) IN (32, 48)),
    signer          BLOB NOT NULL CHECK (length(signer) IN (32, 48)),
    size            INTEGER NOT NULL CHECK (size >= 0),
    body_size       INTEGER NOT NULL CHECK (body_size >= 0),
    media_type      TEXT NOT NULL,
    class           TEXT NOT NULL CHECK (class IN ('normal', 'restricted')),
    mode            INTEGER NOT NULL CHECK (mode BETWEEN 0 AND 511),
    modified_at     INTEGER NOT NULL,
    sealed_at       INTEGER NOT NULL,
    UNIQUE (document, number)
) STRICT;

CREATE TABLE intents (
    file_id    TEXT NOT NULL PRIMARY KEY CHECK (length(file_id) = 32),
    kind       TEXT NOT NULL CHECK (kind IN ('put', 'delete', 'rewrite')),
    envelope   BLOB,
    created_at INTEGER NOT NULL,
    CHECK ((kind = 'rewrite') = (envelope IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id           TEXT NOT NULL PRIMARY KEY CHECK (id <> ''),
    person       TEXT NOT NULL REFERENCES people (id),
    client       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX sessions_person ON sessions (person);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    hash       BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    session    TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_session ON refresh_tokens (session);

CREATE TABLE token_keys (
    id         TEXT NOT NULL PRIMARY KEY CHECK (id <> ''),
    sealed     BLOB NOT NULL CHECK (length(sealed) > 0),
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT;

CREATE TABLE uploads (
    id          TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    owner       TEXT NOT NULL REFERENCES people (id),
    path        TEXT NOT NULL,
    media_type  TEXT NOT NULL,
    class       TEXT NOT NULL CHECK (class IN ('normal', 'restricted')),
    mode        INTEGER NOT NULL CHECK (mode BETWEEN 0 AND 511),
    modified_at INTEGER NOT NULL,
    replaces    INTEGER NOT NULL CHECK (replaces IN (0, 1)),
    sealed_key  BLOB NOT NULL CHECK (length(sealed_key) > 0),
    size        INTEGER NOT NULL CHECK (size >= -1),
    position    INTEGER NOT NULL CHECK (position >= 0 AND (size < 0 OR position <= size)),
    part        INTEGER NOT NULL CHECK (part >= 0),
    segments    INTEGER NOT NULL CHECK (segments >= 0),
    provisional BLOB,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX uploads_owner ON uploads (owner, created_at, id);
CREATE INDEX uploads_expires_at ON uploads (expires_at);

-- Rows of the index, many segments at a time, from number first on.
CREATE TABLE upload_rows (
    upload TEXT NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    first  INTEGER NOT NULL CHECK (first >= 0),
    rows   BLOB NOT NULL CHECK (length(rows) > 0),
    PRIMARY KEY (upload, first)
) STRICT, WITHOUT ROWID;
