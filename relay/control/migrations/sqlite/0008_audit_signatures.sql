-- The head is signed with the cluster's key, which is not in the database. NULL until the relay signs it when it opens the database.
ALTER TABLE audit_head ADD COLUMN signature BLOB CHECK (length(signature) = 64);

-- The last row that retention removed, signed too. No row while nothing was removed.
CREATE TABLE audit_checkpoint (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    signature BLOB NOT NULL CHECK (length(signature) = 64)
) STRICT;

DROP TRIGGER audit_refuses_delete;
CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit
WHEN OLD.sequence > COALESCE((SELECT sequence FROM audit_checkpoint), 0)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_checkpoint_refuses_delete BEFORE DELETE ON audit_checkpoint
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_checkpoint_refuses_return BEFORE UPDATE ON audit_checkpoint
WHEN NEW.sequence <= OLD.sequence
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
