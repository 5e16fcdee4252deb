-- +goose Up

-- One row for each transaction that anchors a head, in the order of planning. What a row's state needs is
-- there with it. The index finds the rows of one sender and log by state, the newest first.
CREATE TABLE anchors (
    id         INTEGER NOT NULL PRIMARY KEY CHECK (id > 0),
    chain      INTEGER NOT NULL CHECK (chain > 0),
    contract   BLOB NOT NULL CHECK (length(contract) = 20),
    log        BLOB NOT NULL CHECK (length(log) = 32),
    sender     BLOB NOT NULL CHECK (length(sender) = 20),
    nonce      INTEGER NOT NULL CHECK (nonce >= 0),
    replaces   INTEGER REFERENCES anchors (id),
    previous   INTEGER NOT NULL CHECK (previous >= 0),
    size       INTEGER NOT NULL CHECK (size > previous),
    root       BLOB NOT NULL CHECK (length(root) = 32),
    state      TEXT NOT NULL CHECK (state IN ('planned', 'signed', 'sent', 'mined', 'final', 'replaced', 'abandoned')),
    changed_at INTEGER NOT NULL,
    planned_at INTEGER NOT NULL,
    hash       BLOB CHECK (length(hash) = 32),
    raw        BLOB CHECK (length(raw) > 0),
    block      INTEGER CHECK (block >= 0),
    block_hash BLOB CHECK (length(block_hash) = 32),
    reason     TEXT NOT NULL,
    CHECK (replaces < id),
    CHECK ((hash IS NULL) = (raw IS NULL)),
    CHECK (raw IS NULL OR state <> 'planned'),
    CHECK (raw IS NOT NULL OR state IN ('planned', 'replaced', 'abandoned')),
    CHECK ((block IS NULL) = (block_hash IS NULL)),
    CHECK (block IS NULL OR state NOT IN ('planned', 'signed', 'sent')),
    CHECK (block IS NOT NULL OR state NOT IN ('mined', 'final')),
    CHECK ((reason <> '') = (state = 'abandoned'))
) STRICT;
CREATE INDEX anchors_state ON anchors (log, sender, contract, chain, state, id);
