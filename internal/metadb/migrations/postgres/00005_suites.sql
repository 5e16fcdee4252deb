-- +goose Up

-- A vault can go over to another suite while uploads are under way; a body has one suite from its beginning to its end.
ALTER TABLE uploads ADD COLUMN suite BIGINT NOT NULL DEFAULT 1 CHECK (suite BETWEEN 1 AND 2);
UPDATE uploads SET suite = coalesce((SELECT suite FROM identities WHERE kind = 'root' AND retired_at IS NULL), 1);
