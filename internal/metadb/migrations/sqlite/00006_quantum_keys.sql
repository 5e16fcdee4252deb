-- +goose Up

-- Quantum keys that nobody has got, sealed under the master key. Whoever takes one removes its row.
CREATE TABLE qkd_pool (
    id      TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    master  TEXT NOT NULL CHECK (master <> ''),
    slave   TEXT NOT NULL CHECK (slave <> '' AND slave <> master),
    sealed  BLOB NOT NULL CHECK (length(sealed) > 0),
    session TEXT NOT NULL,
    made_at INTEGER NOT NULL
) STRICT;
CREATE INDEX qkd_pool_pair ON qkd_pool (master, slave, made_at, id);
CREATE INDEX qkd_pool_slave ON qkd_pool (slave);

-- Whom a key is for that its master has got, without the key. slaves is a JSON array.
CREATE TABLE qkd_delivered (
    id           TEXT NOT NULL PRIMARY KEY CHECK (length(id) = 36),
    master       TEXT NOT NULL CHECK (master <> ''),
    slaves       TEXT NOT NULL CHECK (slaves <> ''),
    session      TEXT NOT NULL,
    delivered_at INTEGER NOT NULL
) STRICT;
CREATE INDEX qkd_delivered_at ON qkd_delivered (delivered_at, id);
CREATE INDEX qkd_delivered_master ON qkd_delivered (master);

-- The same keys, for each slave that has not got them. Whoever fetches one removes its row.
CREATE TABLE qkd_waiting (
    number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    id     TEXT NOT NULL REFERENCES qkd_delivered (id) ON DELETE CASCADE,
    master TEXT NOT NULL CHECK (master <> ''),
    slave  TEXT NOT NULL CHECK (slave <> '' AND slave <> master),
    sealed BLOB NOT NULL CHECK (length(sealed) > 0),
    UNIQUE (id, slave)
) STRICT;
CREATE INDEX qkd_waiting_slave ON qkd_waiting (slave);
