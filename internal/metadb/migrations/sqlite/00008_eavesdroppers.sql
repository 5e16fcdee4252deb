-- +goose Up

-- Simulated eavesdroppers on the fibre between two people, whose ids are in order. share is in millionths of the pulses.
CREATE TABLE qkd_eavesdroppers (
    one    TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    other  TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE CHECK (other > one),
    attack TEXT NOT NULL CHECK (attack IN ('intercept', 'breidbart', 'pns')),
    share  INTEGER NOT NULL CHECK (share BETWEEN 1 AND 1000000),
    set_by TEXT REFERENCES people (id) ON DELETE SET NULL,
    set_at INTEGER NOT NULL,
    PRIMARY KEY (one, other)
) STRICT;
CREATE INDEX qkd_eavesdroppers_other ON qkd_eavesdroppers (other);
CREATE INDEX qkd_eavesdroppers_by ON qkd_eavesdroppers (set_by);
