-- Ids are UUIDv7 in 16 bytes, times microseconds since the Unix epoch, lists and documents JSON text.
-- The same numbers and the same columns as migrations/postgres.

CREATE TABLE networks (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE join_keys (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    network BLOB NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    description TEXT NOT NULL,
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    uses_max INTEGER,
    uses INTEGER NOT NULL CHECK (uses >= 0 AND (uses_max IS NULL OR uses <= uses_max)),
    expires_at INTEGER,
    ephemeral INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX join_keys_network ON join_keys (network, created_at);

CREATE TABLE nodes (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    network BLOB NOT NULL REFERENCES networks (id),
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('agent', 'wireguard')),
    public_key TEXT NOT NULL UNIQUE,
    overlay_v4 INTEGER NOT NULL UNIQUE,
    overlay_v6 BLOB NOT NULL UNIQUE CHECK (length(overlay_v6) = 16),
    ephemeral INTEGER NOT NULL CHECK (ephemeral IN (0, 1)),
    join_key BLOB,
    created_at INTEGER NOT NULL,
    UNIQUE (network, name)
) STRICT;

CREATE TABLE node_groups (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    network BLOB NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (network, name)
) STRICT;

CREATE TABLE group_nodes (
    group_id BLOB NOT NULL REFERENCES node_groups (id) ON DELETE CASCADE,
    node BLOB NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, node)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_nodes_node ON group_nodes (node);

CREATE TABLE join_key_groups (
    join_key BLOB NOT NULL REFERENCES join_keys (id) ON DELETE CASCADE,
    group_id BLOB NOT NULL REFERENCES node_groups (id) ON DELETE CASCADE,
    PRIMARY KEY (join_key, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX join_key_groups_group ON join_key_groups (group_id);

-- One row per address that is held by a node, or rests after its node was removed.
CREATE TABLE leases (
    address INTEGER NOT NULL PRIMARY KEY,
    node BLOB UNIQUE,
    released_at INTEGER,
    CHECK ((node IS NULL) <> (released_at IS NULL))
) STRICT;
CREATE INDEX leases_resting ON leases (released_at) WHERE released_at IS NOT NULL;

-- 100.64.0.2 to 100.127.255.254, and where the search for a free address starts.
CREATE TABLE lease_pool (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    first_address INTEGER NOT NULL,
    last_address INTEGER NOT NULL,
    next_address INTEGER NOT NULL
) STRICT;
INSERT INTO lease_pool VALUES (1, 1681915906, 1686110206, 1681915906);

CREATE TABLE api_keys (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    network BLOB REFERENCES networks (id) ON DELETE CASCADE,
    description TEXT NOT NULL,
    secret_hash BLOB NOT NULL CHECK (length(secret_hash) = 32),
    scopes TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX api_keys_network ON api_keys (network, created_at);

CREATE TABLE publications (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    network BLOB NOT NULL REFERENCES networks (id),
    node BLOB NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp', 'http')),
    public_port INTEGER CHECK (public_port BETWEEN 1 AND 65535),
    port_count INTEGER NOT NULL CHECK (port_count BETWEEN 1 AND 65535),
    hostname TEXT UNIQUE,
    overlay_port INTEGER NOT NULL CHECK (overlay_port BETWEEN 1 AND 65535),
    target TEXT NOT NULL,
    access TEXT NOT NULL,
    lifetime TEXT NOT NULL CHECK (lifetime IN ('session', 'persistent')),
    created_at INTEGER NOT NULL,
    UNIQUE (network, name)
) STRICT;
CREATE INDEX publications_node ON publications (node);

-- One row per public port: two ranges that overlap cannot both be stored.
CREATE TABLE public_ports (
    protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp')),
    port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    publication BLOB NOT NULL REFERENCES publications (id) ON DELETE CASCADE,
    PRIMARY KEY (protocol, port)
) STRICT, WITHOUT ROWID;
CREATE INDEX public_ports_publication ON public_ports (publication);

CREATE TABLE policies (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    network BLOB NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK (revision >= 1),
    document TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (network, name)
) STRICT;

CREATE TABLE audit (
    sequence INTEGER NOT NULL PRIMARY KEY,
    network BLOB,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_network ON audit (network, sequence);

-- The newest link of the chain: what `audit` must end with.
CREATE TABLE audit_head (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
INSERT INTO audit_head VALUES (1, 0, zeroblob(32));

CREATE TRIGGER audit_refuses_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_refuses_gap BEFORE INSERT ON audit
WHEN NEW.sequence <> (SELECT sequence + 1 FROM audit_head)
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_head_refuses_delete BEFORE DELETE ON audit_head
BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END;
