-- A hostname that a publication gave back: for a while no other network gets it. The network may be gone.
CREATE TABLE resting_hostnames (
    hostname TEXT NOT NULL PRIMARY KEY,
    network BLOB NOT NULL CHECK (length(network) = 16),
    released_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX resting_hostnames_released ON resting_hostnames (released_at);
CREATE INDEX resting_hostnames_network ON resting_hostnames (network, released_at);
