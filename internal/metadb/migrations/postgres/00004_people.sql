-- +goose Up

-- The same tables as SQLite's, in one step. Texts are compared by their bytes, so that lists have one order everywhere.

CREATE UNIQUE INDEX goose_db_version_once ON goose_db_version (version_id);

-- Never has a row: it is locked by whoever writes, see postgresWriter.
CREATE TABLE turns (
    one INTEGER NOT NULL
);

CREATE TABLE schema_writer (
    one     BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    program TEXT COLLATE "C" NOT NULL
);

CREATE TABLE settings (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BYTEA NOT NULL
);

CREATE TABLE people (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    name          TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
    name_key      TEXT COLLATE "C" NOT NULL UNIQUE CHECK (name_key <> ''),
    role          TEXT COLLATE "C" NOT NULL CHECK (role IN ('admin', 'manager', 'user')),
    password_hash TEXT COLLATE "C" NOT NULL,
    epoch         BIGINT NOT NULL CHECK (epoch >= 0),
    active        BIGINT NOT NULL CHECK (active IN (0, 1)),
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL,
    display_name  TEXT COLLATE "C" NOT NULL DEFAULT ''
);

CREATE TABLE nodes (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    owner       TEXT COLLATE "C" NOT NULL REFERENCES people (id),
    parent      TEXT COLLATE "C" NOT NULL CHECK (length(parent) IN (0, 32) AND parent <> id),
    name        TEXT COLLATE "C" NOT NULL CHECK (octet_length(name) BETWEEN 1 AND 255),
    kind        TEXT COLLATE "C" NOT NULL CHECK (kind IN ('folder', 'file')),
    current     TEXT COLLATE "C" CHECK (length(current) = 32),
    size        BIGINT NOT NULL CHECK (size >= 0),
    media_type  TEXT COLLATE "C" NOT NULL,
    modified_at BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    UNIQUE (owner, parent, name),
    CHECK ((kind = 'file') = (current IS NOT NULL))
);
CREATE INDEX nodes_size ON nodes (owner, parent, size, id);
CREATE INDEX nodes_media_type ON nodes (owner, parent, media_type, id);
CREATE INDEX nodes_modified_at ON nodes (owner, parent, modified_at, id);
CREATE INDEX nodes_created_at ON nodes (owner, parent, created_at, id);

CREATE TABLE versions (
    file_id         TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(file_id) = 32),
    document        TEXT COLLATE "C" NOT NULL REFERENCES nodes (id),
    number          BIGINT NOT NULL CHECK (number >= 1),
    owner           TEXT COLLATE "C" NOT NULL REFERENCES people (id),
    revision        BIGINT NOT NULL CHECK (revision >= 0),
    manifest_digest BYTEA NOT NULL CHECK (length(manifest_digest) IN (32, 48)),
    signer          BYTEA NOT NULL CHECK (length(signer) IN (32, 48)),
    size            BIGINT NOT NULL CHECK (size >= 0),
    body_size       BIGINT NOT NULL CHECK (body_size >= 0),
    media_type      TEXT COLLATE "C" NOT NULL,
    class           TEXT COLLATE "C" NOT NULL CHECK (class IN ('normal', 'restricted')),
    mode            BIGINT NOT NULL CHECK (mode BETWEEN 0 AND 511),
    modified_at     BIGINT NOT NULL,
    sealed_at       BIGINT NOT NULL,
    UNIQUE (document, number)
);

CREATE TABLE intents (
    file_id    TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(file_id) = 32),
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('put', 'delete', 'rewrite')),
    envelope   BYTEA,
    created_at BIGINT NOT NULL,
    server     TEXT COLLATE "C" NOT NULL DEFAULT '',
    CHECK ((kind = 'rewrite') = (envelope IS NOT NULL))
);

CREATE TABLE sessions (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (id <> ''),
    person       TEXT COLLATE "C" NOT NULL REFERENCES people (id),
    client       TEXT COLLATE "C" NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    revoked_at   BIGINT,
    device       BYTEA CHECK (length(device) = 32),
    address      TEXT COLLATE "C" NOT NULL DEFAULT ''
);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE refresh_tokens (
    hash       BYTEA NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    session    TEXT COLLATE "C" NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);
CREATE INDEX refresh_tokens_session ON refresh_tokens (session);

CREATE TABLE token_keys (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (id <> ''),
    sealed     BYTEA NOT NULL CHECK (length(sealed) > 0),
    created_at BIGINT NOT NULL,
    retired_at BIGINT
);

CREATE TABLE uploads (
    id          TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    owner       TEXT COLLATE "C" NOT NULL REFERENCES people (id),
    path        TEXT COLLATE "C" NOT NULL,
    media_type  TEXT COLLATE "C" NOT NULL,
    class       TEXT COLLATE "C" NOT NULL CHECK (class IN ('normal', 'restricted')),
    mode        BIGINT NOT NULL CHECK (mode BETWEEN 0 AND 511),
    modified_at BIGINT NOT NULL,
    replaces    BIGINT NOT NULL CHECK (replaces IN (0, 1)),
    sealed_key  BYTEA NOT NULL CHECK (length(sealed_key) > 0),
    size        BIGINT NOT NULL CHECK (size >= -1),
    position    BIGINT NOT NULL CHECK (position >= 0 AND (size < 0 OR position <= size)),
    part        BIGINT NOT NULL CHECK (part >= 0),
    segments    BIGINT NOT NULL CHECK (segments >= 0),
    provisional BYTEA,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX uploads_owner ON uploads (owner, created_at, id);
CREATE INDEX uploads_expires_at ON uploads (expires_at);

CREATE TABLE upload_rows (
    upload TEXT COLLATE "C" NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
    first  BIGINT NOT NULL CHECK (first >= 0),
    rows   BYTEA NOT NULL CHECK (length(rows) > 0),
    PRIMARY KEY (upload, first)
);

CREATE TABLE audit_logs (
    id          BIGINT NOT NULL PRIMARY KEY CHECK (id > 0),
    origin      TEXT COLLATE "C" NOT NULL UNIQUE CHECK (origin <> ''),
    public      TEXT COLLATE "C" NOT NULL CHECK (public <> ''),
    sealed_seed BYTEA NOT NULL CHECK (length(sealed_seed) > 0),
    begun_at    BIGINT NOT NULL
);

CREATE TABLE audit_heads (
    log  BIGINT NOT NULL PRIMARY KEY REFERENCES audit_logs (id),
    size BIGINT NOT NULL CHECK (size >= 0),
    root BYTEA NOT NULL CHECK (length(root) = 32)
);

CREATE TABLE audit_keys (
    number BIGINT NOT NULL PRIMARY KEY CHECK (number > 0),
    person TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(person) IN (0, 32)),
    sealed BYTEA NOT NULL CHECK (length(sealed) > 0)
);

CREATE TABLE audit_events (
    id          BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    log         BIGINT REFERENCES audit_logs (id),
    leaf_index  BIGINT CHECK (leaf_index >= 0),
    leaf        BYTEA NOT NULL CHECK (length(leaf) = 108),
    operational BYTEA NOT NULL,
    actor_key   BIGINT REFERENCES audit_keys (number),
    actor       BYTEA,
    subject_key BIGINT REFERENCES audit_keys (number),
    subject     BYTEA,
    grp         TEXT COLLATE "C" CHECK (length(grp) = 32),
    UNIQUE (log, leaf_index),
    CHECK ((log IS NULL) = (leaf_index IS NULL)),
    CHECK (actor_key IS NULL OR actor IS NOT NULL),
    CHECK (subject_key IS NULL OR subject IS NOT NULL)
);
CREATE INDEX audit_events_actor ON audit_events (actor_key) WHERE actor_key IS NOT NULL;
CREATE INDEX audit_events_subject ON audit_events (subject_key) WHERE subject_key IS NOT NULL;
CREATE INDEX audit_events_whose ON audit_events (id, actor_key, subject_key, grp);

CREATE TABLE audit_tiles (
    log      BIGINT NOT NULL REFERENCES audit_logs (id),
    level    BIGINT NOT NULL CHECK (level BETWEEN 0 AND 5),
    position BIGINT NOT NULL CHECK (position >= 0),
    hashes   BYTEA NOT NULL CHECK (length(hashes) BETWEEN 32 AND 8192 AND length(hashes) % 32 = 0),
    PRIMARY KEY (log, level, position)
);

CREATE TABLE audit_checkpoints (
    log       BIGINT NOT NULL REFERENCES audit_logs (id),
    size      BIGINT NOT NULL CHECK (size >= 0),
    text      BYTEA NOT NULL CHECK (length(text) > 0),
    signed_at BIGINT NOT NULL,
    PRIMARY KEY (log, size)
);

CREATE TABLE anchors (
    id         BIGINT NOT NULL PRIMARY KEY CHECK (id > 0),
    chain      BIGINT NOT NULL CHECK (chain > 0),
    contract   BYTEA NOT NULL CHECK (length(contract) = 20),
    log        BYTEA NOT NULL CHECK (length(log) = 32),
    sender     BYTEA NOT NULL CHECK (length(sender) = 20),
    nonce      BIGINT NOT NULL CHECK (nonce >= 0),
    replaces   BIGINT REFERENCES anchors (id),
    previous   BIGINT NOT NULL CHECK (previous >= 0),
    size       BIGINT NOT NULL CHECK (size > previous),
    root       BYTEA NOT NULL CHECK (length(root) = 32),
    state      TEXT COLLATE "C" NOT NULL CHECK (state IN ('planned', 'signed', 'sent', 'mined', 'final', 'replaced', 'abandoned')),
    changed_at BIGINT NOT NULL,
    planned_at BIGINT NOT NULL,
    hash       BYTEA CHECK (length(hash) = 32),
    raw        BYTEA CHECK (length(raw) > 0),
    block      BIGINT CHECK (block >= 0),
    block_hash BYTEA CHECK (length(block_hash) = 32),
    reason     TEXT COLLATE "C" NOT NULL,
    CHECK (replaces < id),
    CHECK ((hash IS NULL) = (raw IS NULL)),
    CHECK (raw IS NULL OR state <> 'planned'),
    CHECK (raw IS NOT NULL OR state IN ('planned', 'replaced', 'abandoned')),
    CHECK ((block IS NULL) = (block_hash IS NULL)),
    CHECK (block IS NULL OR state NOT IN ('planned', 'signed', 'sent')),
    CHECK (block IS NOT NULL OR state NOT IN ('mined', 'final')),
    CHECK ((reason <> '') = (state = 'abandoned'))
);
CREATE INDEX anchors_state ON anchors (log, sender, contract, chain, state, id);
CREATE INDEX people_created_at ON people (created_at, id);
CREATE INDEX people_role ON people (role, id);

CREATE TABLE groups (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    name       TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
    name_key   TEXT COLLATE "C" NOT NULL UNIQUE CHECK (name_key <> ''),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    bytes      BIGINT NOT NULL DEFAULT 0 CHECK (bytes >= 0), -- the sums of usage over the members, kept by triggers
    files      BIGINT NOT NULL DEFAULT 0 CHECK (files >= 0),
    uploading  BIGINT NOT NULL DEFAULT 0 CHECK (uploading >= 0)
);

CREATE TABLE group_members (
    grp     TEXT COLLATE "C" NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    person  TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    member  BIGINT NOT NULL CHECK (member IN (0, 1)),
    manager BIGINT NOT NULL CHECK (manager IN (0, 1)),
    since   BIGINT NOT NULL,
    PRIMARY KEY (grp, person),
    CHECK (member = 1 OR manager = 1)
);
CREATE INDEX group_members_person ON group_members (person);

CREATE TABLE identities (
    id            TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    kind          TEXT COLLATE "C" NOT NULL CHECK (kind IN ('root', 'recovery', 'person', 'vault', 'group')),
    person        TEXT COLLATE "C" REFERENCES people (id),
    grp           TEXT COLLATE "C" CHECK (length(grp) = 32),
    version       BIGINT NOT NULL CHECK (version >= 1),
    suite         BIGINT NOT NULL CHECK (suite BETWEEN 1 AND 255),
    fingerprint   BYTEA NOT NULL UNIQUE CHECK (length(fingerprint) IN (32, 48)),
    public        BYTEA NOT NULL CHECK (length(public) > 0),
    certificate   BYTEA,
    wrapped_seeds BYTEA,
    created_at    BIGINT NOT NULL,
    retired_at    BIGINT,
    CHECK ((kind = 'person') = (person IS NOT NULL)),
    CHECK ((kind = 'group') = (grp IS NOT NULL))
);
CREATE UNIQUE INDEX identities_version ON identities (kind, coalesce(person, grp, ''), version);
CREATE INDEX identities_person ON identities (person) WHERE person IS NOT NULL;

CREATE TABLE quotas (
    person TEXT COLLATE "C" UNIQUE REFERENCES people (id) ON DELETE CASCADE,
    grp    TEXT COLLATE "C" UNIQUE REFERENCES groups (id) ON DELETE CASCADE,
    bytes  BIGINT CHECK (bytes >= 0),
    files  BIGINT CHECK (files >= 0),
    CHECK ((person IS NULL) <> (grp IS NULL))
);

CREATE TABLE usage (
    person TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
    bytes  BIGINT NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    files  BIGINT NOT NULL DEFAULT 0 CHECK (files >= 0),
    uploading BIGINT NOT NULL DEFAULT 0 CHECK (uploading >= 0)
);
CREATE INDEX sessions_person ON sessions (person, created_at, id);

CREATE TABLE devices (
    person   TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    hash     BYTEA NOT NULL CHECK (length(hash) = 32),
    first_at BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    PRIMARY KEY (person, hash)
);
CREATE INDEX devices_last_at ON devices (last_at);

CREATE TABLE sign_in_failures (
    key     BYTEA NOT NULL PRIMARY KEY CHECK (length(key) = 32),
    tries   BIGINT NOT NULL CHECK (tries > 0),
    last_at BIGINT NOT NULL
);
CREATE INDEX sign_in_failures_last_at ON sign_in_failures (last_at);

CREATE TABLE totp (
    person       TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES people (id) ON DELETE CASCADE,
    sealed       BYTEA NOT NULL CHECK (length(sealed) > 0),
    last_step    BIGINT NOT NULL CHECK (last_step >= 0),
    created_at   BIGINT NOT NULL,
    confirmed_at BIGINT
);

CREATE TABLE recovery_codes (
    person TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    hash   BYTEA NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (person, hash)
);

CREATE TABLE api_tokens (
    id           TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    person       TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    name         TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
    hash         BYTEA NOT NULL UNIQUE CHECK (length(hash) = 32),
    scopes       TEXT COLLATE "C" NOT NULL CHECK (scopes <> ''),
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT,
    revoked_at   BIGINT
);
CREATE INDEX api_tokens_person ON api_tokens (person, created_at, id);
CREATE INDEX api_tokens_expires_at ON api_tokens (expires_at);
CREATE INDEX api_tokens_revoked_at ON api_tokens (revoked_at) WHERE revoked_at IS NOT NULL;

CREATE TABLE links (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    hash       BYTEA NOT NULL UNIQUE CHECK (length(hash) = 32),
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('invitation', 'reset')),
    person     TEXT COLLATE "C" REFERENCES people (id) ON DELETE CASCADE,
    grp        TEXT COLLATE "C" REFERENCES groups (id) ON DELETE CASCADE,
    made_by    TEXT COLLATE "C" REFERENCES people (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    CHECK ((kind = 'reset') = (person IS NOT NULL)),
    CHECK (kind = 'invitation' OR grp IS NULL)
);
CREATE INDEX links_person ON links (person);
CREATE INDEX links_made_by ON links (made_by);
CREATE INDEX links_created_at ON links (created_at, id);
CREATE INDEX links_expires_at ON links (expires_at, id);

CREATE TABLE webhooks (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    url        TEXT COLLATE "C" NOT NULL CHECK (url <> ''),
    secret     BYTEA NOT NULL CHECK (length(secret) > 0),
    events     TEXT COLLATE "C" NOT NULL CHECK (events <> ''),
    active     BIGINT NOT NULL CHECK (active IN (0, 1)),
    problem    TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE webhook_deliveries (
    id         BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    message    TEXT COLLATE "C" NOT NULL UNIQUE CHECK (message <> ''),
    webhook    TEXT COLLATE "C" NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    type       TEXT COLLATE "C" NOT NULL CHECK (type <> ''),
    event      BIGINT CHECK (event > 0),
    person     TEXT COLLATE "C" REFERENCES people (id) ON DELETE CASCADE,
    by_person  TEXT COLLATE "C" REFERENCES people (id) ON DELETE CASCADE,
    body       BYTEA NOT NULL CHECK (length(body) > 0),
    created_at BIGINT NOT NULL,
    tries      BIGINT NOT NULL CHECK (tries >= 0),
    next_at    BIGINT,
    ended_at   BIGINT,
    status     BIGINT NOT NULL CHECK (status >= 0),
    problem    TEXT COLLATE "C" NOT NULL,
    CHECK ((next_at IS NULL) <> (ended_at IS NULL))
);
CREATE INDEX webhook_deliveries_webhook ON webhook_deliveries (webhook, id);
CREATE INDEX webhook_deliveries_next_at ON webhook_deliveries (webhook, next_at, id) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_deliveries_ended_at ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX webhook_deliveries_person ON webhook_deliveries (person) WHERE person IS NOT NULL;
CREATE INDEX webhook_deliveries_by_person ON webhook_deliveries (by_person) WHERE by_person IS NOT NULL;

CREATE TABLE answers (
    person     TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    key        BYTEA NOT NULL CHECK (length(key) = 32),
    request    BYTEA NOT NULL CHECK (length(request) = 32),
    status     BIGINT NOT NULL CHECK (status BETWEEN 200 AND 299),
    header     TEXT COLLATE "C" NOT NULL CHECK (header <> ''),
    body       BYTEA NOT NULL,
    event      BIGINT CHECK (event > 0),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (person, key)
);
CREATE INDEX answers_person ON answers (person, created_at, key);
CREATE INDEX answers_created_at ON answers (created_at);

-- The servers of the vault, each for as long as it renews its row, and what each has taken. place is a server's data
-- directory, and counter, objects and settings what all must agree upon.
CREATE TABLE servers (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (length(id) = 32),
    place      TEXT COLLATE "C" NOT NULL UNIQUE CHECK (length(place) = 32),
    name       TEXT COLLATE "C" NOT NULL CHECK (name <> ''),
    counter    TEXT COLLATE "C" NOT NULL,
    objects    TEXT COLLATE "C" NOT NULL,
    settings   TEXT COLLATE "C" NOT NULL,
    started_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE leases (
    name   TEXT COLLATE "C" NOT NULL PRIMARY KEY CHECK (name <> ''),
    server TEXT COLLATE "C" NOT NULL REFERENCES servers (id) ON DELETE CASCADE,
    wanted BIGINT NOT NULL CHECK (wanted IN (0, 1))
);
CREATE INDEX leases_server ON leases (server);

-- What people and groups use, as SQLite's triggers keep it.
-- +goose StatementBegin
CREATE FUNCTION count_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage (person) VALUES (new.id) ON CONFLICT (person) DO NOTHING;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION count_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE usage SET bytes = bytes - old.size WHERE person = old.owner;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE usage SET bytes = bytes + new.size WHERE person = new.owner;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION count_file() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE usage SET files = files - 1 WHERE person = old.owner;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE usage SET files = files + 1 WHERE person = new.owner;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION count_upload() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        UPDATE usage SET uploading = uploading - old.position WHERE person = old.owner;
    END IF;
    IF TG_OP <> 'DELETE' THEN
        UPDATE usage SET uploading = uploading + new.position WHERE person = new.owner;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION count_group() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE groups SET bytes = bytes + new.bytes - old.bytes, files = files + new.files - old.files,
        uploading = uploading + new.uploading - old.uploading
        WHERE id IN (SELECT grp FROM group_members WHERE person = new.person AND member = 1);
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION count_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND old.member = 1 THEN
        UPDATE groups g SET bytes = g.bytes - u.bytes, files = g.files - u.files, uploading = g.uploading - u.uploading
            FROM usage u WHERE u.person = old.person AND g.id = old.grp;
    END IF;
    IF TG_OP <> 'DELETE' AND new.member = 1 THEN
        UPDATE groups g SET bytes = g.bytes + u.bytes, files = g.files + u.files, uploading = g.uploading + u.uploading
            FROM usage u WHERE u.person = new.person AND g.id = new.grp;
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER usage_person AFTER INSERT ON people FOR EACH ROW EXECUTE FUNCTION count_person();
CREATE TRIGGER usage_version AFTER INSERT OR DELETE ON versions FOR EACH ROW EXECUTE FUNCTION count_version();
CREATE TRIGGER usage_other_version AFTER UPDATE OF owner, size ON versions FOR EACH ROW
    WHEN (old.owner <> new.owner OR old.size <> new.size) EXECUTE FUNCTION count_version();
CREATE TRIGGER usage_file AFTER INSERT ON nodes FOR EACH ROW WHEN (new.kind = 'file') EXECUTE FUNCTION count_file();
CREATE TRIGGER usage_no_file AFTER DELETE ON nodes FOR EACH ROW WHEN (old.kind = 'file') EXECUTE FUNCTION count_file();
CREATE TRIGGER usage_other_file AFTER UPDATE OF owner ON nodes FOR EACH ROW
    WHEN (new.kind = 'file' AND old.owner <> new.owner) EXECUTE FUNCTION count_file();
CREATE TRIGGER usage_upload AFTER INSERT OR DELETE OR UPDATE OF position ON uploads FOR EACH ROW EXECUTE FUNCTION count_upload();
CREATE TRIGGER group_usage AFTER UPDATE ON usage FOR EACH ROW EXECUTE FUNCTION count_group();
CREATE TRIGGER group_usage_member AFTER INSERT OR DELETE OR UPDATE OF member ON group_members FOR EACH ROW EXECUTE FUNCTION count_member();

-- Secrets of webhooks that were replaced, and sign beside the new one until a time.
CREATE TABLE webhook_formers (
    id      BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    webhook TEXT COLLATE "C" NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    secret  BYTEA NOT NULL CHECK (length(secret) > 0),
    until   BIGINT NOT NULL
);
CREATE INDEX webhook_formers_webhook ON webhook_formers (webhook, id);

-- The versions of the master key. tag is what values begin with that are sealed under it. It seals from used_at until
-- retired_at; once it is closed nothing more that it sealed may come, and when it is destroyed nothing is left. wrapped
-- is the key, sealed under the next, for as long as something needs it.
CREATE TABLE master_keys (
    number       BIGINT NOT NULL PRIMARY KEY CHECK (number > 0),
    check_value  BYTEA NOT NULL UNIQUE CHECK (length(check_value) = 16),
    tag          BYTEA NOT NULL UNIQUE CHECK (length(tag) = 8),
    wrapped      BYTEA CHECK (length(wrapped) > 0),
    created_at   BIGINT NOT NULL,
    used_at      BIGINT,
    retired_at   BIGINT,
    closed_at    BIGINT,
    destroyed_at BIGINT,
    CHECK ((wrapped IS NOT NULL) = (retired_at IS NOT NULL AND destroyed_at IS NULL)),
    CHECK (used_at IS NOT NULL OR retired_at IS NULL),
    CHECK (retired_at IS NOT NULL OR closed_at IS NULL),
    CHECK (closed_at IS NOT NULL OR destroyed_at IS NULL)
);

-- What is to be done after a person or a group has got other keys: envelopes of the retired ones, and their seeds.
CREATE INDEX versions_signer ON versions (signer, file_id);
CREATE INDEX identities_retired ON identities (kind, version) WHERE retired_at IS NOT NULL AND wrapped_seeds IS NOT NULL;
