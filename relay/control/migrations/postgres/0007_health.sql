-- How the target of a publication is checked; nothing: by the default of its protocol.
-- The same columns as migrations/sqlite.

ALTER TABLE publications ADD COLUMN health TEXT;
ALTER TABLE publications ADD COLUMN health_interval BIGINT CHECK (health_interval BETWEEN 1 AND 3600);
