-- +goose Up

-- Simulated eavesdroppers on the fibre between two people, whose ids are in order. share is in millionths of the pulses.
CREATE TABLE qkd_eavesdroppers (
    one    TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    other  TEXT COLLATE "C" NOT NULL REFERENCES people (id) ON DELETE CASCADE CHECK (other > one),
    attack TEXT COLLATE "C" NOT NULL CHECK (attack IN ('intercept', 'breidbart', 'pns')),
    share  BIGINT NOT NULL CHECK (share BETWEEN 1 AND 1000000),
    set_by TEXT COLLATE "C" REFERENCES people (id) ON DELETE SET NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (one, other)
);
CREATE INDEX qkd_eavesdroppers_other ON qkd_eavesdroppers (other);
CREATE INDEX qkd_eavesdroppers_by ON qkd_eavesdroppers (set_by);
