-- The head is signed with the cluster's key, which is not in the database. NULL until the relay signs it when it opens the database.
ALTER TABLE audit_head ADD COLUMN signature BYTEA CHECK (length(signature) = 64);

-- The last row that retention removed, signed too. No row while nothing was removed.
CREATE TABLE audit_checkpoint (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL CHECK (length(hash) = 32),
    signature BYTEA NOT NULL CHECK (length(signature) = 64)
);

CREATE FUNCTION audit_refuse_return() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <= OLD.sequence THEN
        RAISE EXCEPTION 'the audit trail is append-only';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION audit_refuse_early_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.sequence > COALESCE((SELECT sequence FROM audit_checkpoint), 0) THEN
        RAISE EXCEPTION 'the audit trail is append-only';
    END IF;
    RETURN OLD;
END $$;
DROP TRIGGER audit_refuses_change ON audit;
CREATE TRIGGER audit_refuses_change BEFORE UPDATE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_early_delete();
CREATE TRIGGER audit_checkpoint_refuses_delete BEFORE DELETE OR TRUNCATE ON audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_checkpoint_refuses_return BEFORE UPDATE ON audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_return();
