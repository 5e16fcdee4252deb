-- +goose Up

ALTER TABLE people ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
CREATE INDEX people_created_at ON people (created_at, id);
CREATE INDEX people_role ON people (role, id);

CREATE TABLE groups (
    id         TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    name       TEXT NOT NULL CHECK (name <> ''),
    name_key   TEXT NOT NULL UNIQUE CHECK (name_key <> ''),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    bytes      INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0), -- the sums of usage over the members, kept by triggers
    files      INTEGER NOT NULL DEFAULT 0 CHECK (files >= 0),
    uploading  INTEGER NOT NULL DEFAULT 0 CHECK (uploading >= 0)
) STRICT;

-- Who manages a group need not belong to it.
CREATE TABLE group_members (
    grp     TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    person  TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    member  INTEGER NOT NULL CHECK (member IN (0, 1)),
    manager INTEGER NOT NULL CHECK (manager IN (0, 1)),
    since   INTEGER NOT NULL,
    PRIMARY KEY (grp, person),
    CHECK (member = 1 OR manager = 1)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_person ON group_members (person);

-- SQLite changes no CHECK in place. A group has identities as a person has; they outlive it, retired.
CREATE TABLE new_identities (
    id            TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    kind          TEXT NOT NULL CHECK (kind IN ('root', 'recovery', 'person', 'vault', 'group')),
    person        TEXT REFERENCES people (id),
    grp           TEXT CHECK (length(grp) = 32),
    version       INTEGER NOT NULL CHECK (version >= 1),
    suite         INTEGER NOT NULL CHECK (suite BETWEEN 1 AND 255),
    fingerprint   BLOB NOT NULL UNIQUE CHECK (length(fingerprint) IN (32, 48)),
    public        BLOB NOT NULL CHECK (length(public) > 0),
    certificate   BLOB,
    wrapped_seeds BLOB,
    created_at    INTEGER NOT NULL,
    retired_at    INTEGER,
    CHECK ((kind = 'person') = (person IS NOT NULL)),
    CHECK ((kind = 'group') = (grp IS NOT NULL))
) STRICT;
INSERT INTO new_identities (id, kind, person, version, suite, fingerprint, public, certificate, wrapped_seeds, created_at, retired_at)
    SELECT id, kind, person, version, suite, fingerprint, public, certificate, wrapped_seeds, created_at, retired_at FROM identities;
DROP TABLE identities;
ALTER TABLE new_identities RENAME TO identities;
CREATE UNIQUE INDEX identities_version ON identities (kind, coalesce(person, grp, ''), version);
CREATE INDEX identities_person ON identities (person) WHERE person IS NOT NULL;

-- NULL is no limit. What no row limits, the vault's setting does.
CREATE TABLE quotas (
    person TEXT UNIQUE REFERENCES people (id) ON DELETE CASCADE,
    grp    TEXT UNIQUE REFERENCES groups (id) ON DELETE CASCADE,
    bytes  INTEGER CHECK (bytes >= 0),
    files  INTEGER CHECK (files >= 0),
    CHECK ((person IS NULL) <> (grp IS NULL))
) STRICT;

-- What a person's versions, files and uploads in progress take, kept by the triggers below in the same transaction, as
-- are the groups' sums.
CREATE TABLE usage (
    person    TEXT NOT NULL PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
    bytes     INTEGER NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    files     INTEGER NOT NULL DEFAULT 0 CHECK (files >= 0),
    uploading INTEGER NOT NULL DEFAULT 0 CHECK (uploading >= 0)
) STRICT, WITHOUT ROWID;
INSERT INTO usage (person, bytes, files, uploading)
    SELECT id, (SELECT coalesce(sum(size), 0) FROM versions WHERE owner = people.id),
        (SELECT count(*) FROM nodes WHERE owner = people.id AND kind = 'file'),
        (SELECT coalesce(sum(position), 0) FROM uploads WHERE owner = people.id) FROM people;

-- +goose StatementBegin
CREATE TRIGGER usage_person AFTER INSERT ON people BEGIN
    INSERT INTO usage (person) VALUES (new.id) ON CONFLICT (person) DO NOTHING;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER usage_version AFTER INSERT ON versions BEGIN
    UPDATE usage SET bytes = bytes + new.size WHERE person = new.owner;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER usage_no_version AFTER DELETE ON versions BEGIN
    UPDATE usage SET bytes = bytes - old.size WHERE person = old.owner;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER usage_other_version AFTER UPDATE OF owner, size ON versions WHEN old.owner <> new.owner OR old.size <> new.size BEGIN
    UPDATE usage SET bytes = bytes - old.size WHERE person = old.owner;
    UPDATE usage SET bytes = bytes + new.size WHERE person = new.owner;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER usage_file AFTER INSERT ON nodes WHEN new.kind = 'file' BEGIN
    UPDATE usage SET files = files + 1 WHERE person = new.owner;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER usage_no_file AFTER DELETE ON nodes WHEN old.kind = 'file' BEGIN
    UPDATE usage SET files = files - 1 WHERE person = old.owner;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER usage_other_file AFTER UPDATE OF owner ON nodes WHEN new.kind = 'file' AND old.owner <> new.owner BEGIN
    UPDATE usage SET files = files - 1 WHERE person = old.owner;
    UPDATE usage SET files = files + 1 WHERE person = new.owner;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER usage_upload AFTER INSERT ON uploads BEGIN
    UPDATE usage SET uploading = uploading + new.position WHERE person = new.owner;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER usage_no_upload AFTER DELETE ON uploads BEGIN
    UPDATE usage SET uploading = uploading - old.position WHERE person = old.owner;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER usage_other_upload AFTER UPDATE OF position ON uploads BEGIN
    UPDATE usage SET uploading = uploading + new.position - old.position WHERE person = new.owner;
END;
-- +goose StatementEnd

-- The groups' sums follow usage, whose rows come and go at zero, and the members. A missing row is none of a person's,
-- or of one who is being removed.
-- +goose StatementBegin
CREATE TRIGGER group_usage AFTER UPDATE ON usage BEGIN
    UPDATE groups SET bytes = bytes + new.bytes - old.bytes, files = files + new.files - old.files,
        uploading = uploading + new.uploading - old.uploading
        WHERE id IN (SELECT grp FROM group_members WHERE person = new.person AND member = 1);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER group_usage_member AFTER INSERT ON group_members WHEN new.member = 1 BEGIN
    UPDATE groups SET bytes = bytes + coalesce((SELECT u.bytes FROM usage u WHERE u.person = new.person), 0),
        files = files + coalesce((SELECT u.files FROM usage u WHERE u.person = new.person), 0),
        uploading = uploading + coalesce((SELECT u.uploading FROM usage u WHERE u.person = new.person), 0) WHERE id = new.grp;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER group_usage_no_member AFTER DELETE ON group_members WHEN old.member = 1 BEGIN
    UPDATE groups SET bytes = bytes - coalesce((SELECT u.bytes FROM usage u WHERE u.person = old.person), 0),
        files = files - coalesce((SELECT u.files FROM usage u WHERE u.person = old.person), 0),
        uploading = uploading - coalesce((SELECT u.uploading FROM usage u WHERE u.person = old.person), 0) WHERE id = old.grp;
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER group_usage_other_member AFTER UPDATE OF member ON group_members WHEN old.member <> new.member BEGIN
    UPDATE groups SET bytes = bytes + (new.member - old.member) * coalesce((SELECT u.bytes FROM usage u WHERE u.person = new.person), 0),
        files = files + (new.member - old.member) * coalesce((SELECT u.files FROM usage u WHERE u.person = new.person), 0),
        uploading = uploading + (new.member - old.member) * coalesce((SELECT u.uploading FROM usage u WHERE u.person = new.person), 0) WHERE id = new.grp;
END;
-- +goose StatementEnd

-- device is the SHA-256 of what a known device shows, and address where the session was last used from.
ALTER TABLE sessions ADD COLUMN device BLOB CHECK (length(device) = 32);
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
DROP INDEX sessions_person;
CREATE INDEX sessions_person ON sessions (person, created_at, id);

CREATE TABLE devices (
    person   TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    hash     BLOB NOT NULL CHECK (length(hash) = 32),
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    PRIMARY KEY (person, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_last_at ON devices (last_at);

-- Tries to sign in that failed. The key is a SHA-256: names that nobody has are here too.
CREATE TABLE sign_in_failures (
    key     BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    tries   INTEGER NOT NULL CHECK (tries > 0),
    last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_in_failures_last_at ON sign_in_failures (last_at);

-- confirmed_at is NULL until a first code was entered, and last_step the newest one that was used.
CREATE TABLE totp (
    person       TEXT NOT NULL PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
    sealed       BLOB NOT NULL CHECK (length(sealed) > 0),
    last_step    INTEGER NOT NULL CHECK (last_step >= 0),
    created_at   INTEGER NOT NULL,
    confirmed_at INTEGER
) STRICT, WITHOUT ROWID;

-- Those that were not used. One that is used is taken away.
CREATE TABLE recovery_codes (
    person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    hash   BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (person, hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_tokens (
    id           TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    person       TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    name         TEXT NOT NULL CHECK (name <> ''),
    hash         BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    scopes       TEXT NOT NULL CHECK (scopes <> ''),
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX api_tokens_person ON api_tokens (person, created_at, id);
CREATE INDEX api_tokens_expires_at ON api_tokens (expires_at);
CREATE INDEX api_tokens_revoked_at ON api_tokens (revoked_at) WHERE revoked_at IS NOT NULL;

-- One-time links: for a new account, perhaps in a group, or for a new password of a person.
CREATE TABLE links (
    id         TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    hash       BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    kind       TEXT NOT NULL CHECK (kind IN ('invitation', 'reset')),
    person     TEXT REFERENCES people (id) ON DELETE CASCADE,
    grp        TEXT REFERENCES groups (id) ON DELETE CASCADE,
    made_by    TEXT REFERENCES people (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    CHECK ((kind = 'reset') = (person IS NOT NULL)),
    CHECK (kind = 'invitation' OR grp IS NULL)
) STRICT;
CREATE INDEX links_person ON links (person);
CREATE INDEX links_made_by ON links (made_by);
CREATE INDEX links_created_at ON links (created_at, id);
CREATE INDEX links_expires_at ON links (expires_at, id);

-- problem is why the newest try failed.
CREATE TABLE webhooks (
    id         TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    url        TEXT NOT NULL CHECK (url <> ''),
    secret     BLOB NOT NULL CHECK (length(secret) > 0),
    events     TEXT NOT NULL CHECK (events <> ''),
    active     INTEGER NOT NULL CHECK (active IN (0, 1)),
    problem    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

-- What is still to be sent, and for some days what was. It goes with the people that it names.
CREATE TABLE webhook_deliveries (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    message    TEXT NOT NULL UNIQUE CHECK (message <> ''),
    webhook    TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    type       TEXT NOT NULL CHECK (type <> ''),
    event      INTEGER CHECK (event > 0),
    person     TEXT REFERENCES people (id) ON DELETE CASCADE,
    by_person  TEXT REFERENCES people (id) ON DELETE CASCADE,
    body       BLOB NOT NULL CHECK (length(body) > 0),
    created_at INTEGER NOT NULL,
    tries      INTEGER NOT NULL CHECK (tries >= 0),
    next_at    INTEGER,
    ended_at   INTEGER,
    status     INTEGER NOT NULL CHECK (status >= 0),
    problem    TEXT NOT NULL,
    CHECK ((next_at IS NULL) <> (ended_at IS NULL))
) STRICT;
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook, id);
CREATE INDEX webhook_deliveries_next_at ON webhook_deliveries (webhook, next_at, id) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_deliveries_ended_at ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX webhook_deliveries_person ON webhook_deliveries (person) WHERE person IS NOT NULL;
CREATE INDEX webhook_deliveries_by_person ON webhook_deliveries (by_person) WHERE by_person IS NOT NULL;

-- Answers to requests with an Idempotency-Key, for whoever asks again. key is the SHA-256 of the route and the key, and
-- request that of the request. No answer that shows a secret is kept.
CREATE TABLE answers (
    person     TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    key        BLOB NOT NULL CHECK (length(key) = 32),
    request    BLOB NOT NULL CHECK (length(request) = 32),
    status     INTEGER NOT NULL CHECK (status BETWEEN 200 AND 299),
    header     TEXT NOT NULL CHECK (header <> ''),
    body       BLOB NOT NULL,
    event      INTEGER CHECK (event > 0),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (person, key)
) STRICT;
CREATE INDEX answers_person ON answers (person, created_at, key);
CREATE INDEX answers_created_at ON answers (created_at);

-- grp is the group that an event is about. The index is for managers, whose people and groups are looked for among all
-- events.
ALTER TABLE audit_events ADD COLUMN grp TEXT CHECK (length(grp) = 32);
CREATE INDEX audit_events_whose ON audit_events (id, actor_key, subject_key, grp);

-- The servers of the vault, each for as long as it renews its row, and what each has taken. place is a server's data
-- directory, and counter, objects and settings what all must agree upon.
CREATE TABLE servers (
    id         TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    place      TEXT NOT NULL UNIQUE CHECK (length(place) = 32),
    name       TEXT NOT NULL CHECK (name <> ''),
    counter    TEXT NOT NULL,
    objects    TEXT NOT NULL,
    settings   TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;

CREATE TABLE leases (
    name   TEXT NOT NULL PRIMARY KEY CHECK (name <> ''),
    server TEXT NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    wanted INTEGER NOT NULL CHECK (wanted IN (0, 1))
) STRICT;
CREATE INDEX leases_server ON leases (server);

-- server is who is at a put; empty where there is one server.
ALTER TABLE intents ADD COLUMN server TEXT NOT NULL DEFAULT '';

-- Secrets of webhooks that were replaced, and sign beside the new one until a time.
CREATE TABLE webhook_formers (
    id      INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    secret  BLOB NOT NULL CHECK (length(secret) > 0),
    until   INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_formers_webhook ON webhook_formers (webhook, id);

-- The versions of the master key. tag is what values begin with that are sealed under it. It seals from used_at until
-- retired_at; once it is closed nothing more that it sealed may come, and when it is destroyed nothing is left. wrapped
-- is the key, sealed under the next, for as long as something needs it.
CREATE TABLE master_keys (
    number       INTEGER NOT NULL PRIMARY KEY CHECK (number > 0),
    check_value  BLOB NOT NULL UNIQUE CHECK (length(check_value) = 16),
    tag          BLOB NOT NULL UNIQUE CHECK (length(tag) = 8),
    wrapped      BLOB CHECK (length(wrapped) > 0),
    created_at   INTEGER NOT NULL,
    used_at      INTEGER,
    retired_at   INTEGER,
    closed_at    INTEGER,
    destroyed_at INTEGER,
    CHECK ((wrapped IS NOT NULL) = (retired_at IS NOT NULL AND destroyed_at IS NULL)),
    CHECK (used_at IS NOT NULL OR retired_at IS NULL),
    CHECK (retired_at IS NOT NULL OR closed_at IS NULL),
    CHECK (closed_at IS NOT NULL OR destroyed_at IS NULL)
) STRICT;
INSERT INTO master_keys (number, check_value, tag, created_at, used_at)
    SELECT 1, value, substr(value, 1, 8), coalesce((SELECT min(created_at) FROM identities), 0),
        coalesce((SELECT min(created_at) FROM identities), 0) FROM settings WHERE name = 'master_key_check';
DELETE FROM settings WHERE name = 'master_key_check';

-- What is to be done after a person or a group has got other keys: envelopes of the retired ones, and their seeds.
CREATE INDEX versions_signer ON versions (signer, file_id);
CREATE INDEX identities_retired ON identities (kind, version) WHERE retired_at IS NOT NULL AND wrapped_seeds IS NOT NULL;
