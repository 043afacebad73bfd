-- What a web service is asked for, and how its visitors may come; nothing particular by default.
-- The same columns as migrations/sqlite.

ALTER TABLE publications ADD COLUMN host_header TEXT;
ALTER TABLE publications ADD COLUMN tls_min TEXT CHECK (tls_min IN ('1.2', '1.3'));
