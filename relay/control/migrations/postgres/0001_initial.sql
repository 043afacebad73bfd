-- Ids are UUIDv7 in type uuid, times microseconds since the Unix epoch, lists and documents JSON text.
-- Columns that are sorted or searched compare by bytes, as SQLite does. The same numbers and the same columns as migrations/sqlite.

CREATE TABLE networks (
    id UUID NOT NULL PRIMARY KEY,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    created_at BIGINT NOT NULL
);

CREATE TABLE join_keys (
    id UUID NOT NULL PRIMARY KEY,
    network UUID NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    description TEXT COLLATE "C" NOT NULL,
    secret_hash BYTEA NOT NULL CHECK (length(secret_hash) = 32),
    uses_max BIGINT,
    uses BIGINT NOT NULL CHECK (uses >= 0 AND (uses_max IS NULL OR uses <= uses_max)),
    expires_at BIGINT,
    ephemeral BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX join_keys_network ON join_keys (network, created_at);

CREATE TABLE nodes (
    id UUID NOT NULL PRIMARY KEY,
    network UUID NOT NULL REFERENCES networks (id),
    name TEXT COLLATE "C" NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('agent', 'wireguard')),
    public_key TEXT NOT NULL UNIQUE,
    overlay_v4 BIGINT NOT NULL UNIQUE,
    overlay_v6 BYTEA NOT NULL UNIQUE CHECK (length(overlay_v6) = 16),
    ephemeral BOOLEAN NOT NULL,
    join_key UUID,
    created_at BIGINT NOT NULL,
    UNIQUE (network, name)
);

CREATE TABLE node_groups (
    id UUID NOT NULL PRIMARY KEY,
    network UUID NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (network, name)
);

CREATE TABLE group_nodes (
    group_id UUID NOT NULL REFERENCES node_groups (id) ON DELETE CASCADE,
    node UUID NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, node)
);
CREATE INDEX group_nodes_node ON group_nodes (node);

CREATE TABLE join_key_groups (
    join_key UUID NOT NULL REFERENCES join_keys (id) ON DELETE CASCADE,
    group_id UUID NOT NULL REFERENCES node_groups (id) ON DELETE CASCADE,
    PRIMARY KEY (join_key, group_id)
);
CREATE INDEX join_key_groups_group ON join_key_groups (group_id);

-- One row per address that is held by a node, or rests after its node was removed.
CREATE TABLE leases (
    address BIGINT NOT NULL PRIMARY KEY,
    node UUID UNIQUE,
    released_at BIGINT,
    CHECK ((node IS NULL) <> (released_at IS NULL))
);
CREATE INDEX leases_resting ON leases (released_at) WHERE released_at IS NOT NULL;

-- 100.64.0.2 to 100.127.255.254, and where the search for a free address starts.
CREATE TABLE lease_pool (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    first_address BIGINT NOT NULL,
    last_address BIGINT NOT NULL,
    next_address BIGINT NOT NULL
);
INSERT INTO lease_pool VALUES (1, 1681915906, 1686110206, 1681915906);

CREATE TABLE api_keys (
    id UUID NOT NULL PRIMARY KEY,
    network UUID REFERENCES networks (id) ON DELETE CASCADE,
    description TEXT COLLATE "C" NOT NULL,
    secret_hash BYTEA NOT NULL CHECK (length(secret_hash) = 32),
    scopes TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX api_keys_network ON api_keys (network, created_at);

CREATE TABLE publications (
    id UUID NOT NULL PRIMARY KEY,
    network UUID NOT NULL REFERENCES networks (id),
    node UUID NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp', 'http')),
    public_port BIGINT CHECK (public_port BETWEEN 1 AND 65535),
    port_count BIGINT NOT NULL CHECK (port_count BETWEEN 1 AND 65535),
    hostname TEXT COLLATE "C" UNIQUE,
    overlay_port BIGINT NOT NULL CHECK (overlay_port BETWEEN 1 AND 65535),
    target TEXT NOT NULL,
    access TEXT NOT NULL,
    lifetime TEXT NOT NULL CHECK (lifetime IN ('session', 'persistent')),
    created_at BIGINT NOT NULL,
    UNIQUE (network, name)
);
CREATE INDEX publications_node ON publications (node);

-- One row per public port: two ranges that overlap cannot both be stored.
CREATE TABLE public_ports (
    protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp')),
    port BIGINT NOT NULL CHECK (port BETWEEN 1 AND 65535),
    publication UUID NOT NULL REFERENCES publications (id) ON DELETE CASCADE,
    PRIMARY KEY (protocol, port)
);
CREATE INDEX public_ports_publication ON public_ports (publication);

CREATE TABLE policies (
    id UUID NOT NULL PRIMARY KEY,
    network UUID NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    revision BIGINT NOT NULL CHECK (revision >= 1),
    document TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (network, name)
);

CREATE TABLE audit (
    sequence BIGINT NOT NULL PRIMARY KEY,
    network UUID,
    at BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    previous_hash BYTEA NOT NULL CHECK (length(previous_hash) = 32),
    hash BYTEA NOT NULL CHECK (length(hash) = 32)
);
CREATE INDEX audit_network ON audit (network, sequence);

-- The newest link of the chain: what `audit` must end with.
CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL CHECK (length(hash) = 32)
);
INSERT INTO audit_head VALUES (1, 0, decode(repeat('00', 32), 'hex'));

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END $$;
CREATE FUNCTION audit_refuse_gap() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence <> (SELECT sequence + 1 FROM audit_head) THEN
        RAISE EXCEPTION 'the audit trail is append-only';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_refuses_change BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_refuses_truncate BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_refuses_gap BEFORE INSERT ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_gap();
CREATE TRIGGER audit_head_refuses_delete BEFORE DELETE OR TRUNCATE ON audit_head
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
