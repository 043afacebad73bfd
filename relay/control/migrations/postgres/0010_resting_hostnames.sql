-- A hostname that a publication gave back: for a while no other network gets it. The network may be gone.
CREATE TABLE resting_hostnames (
    hostname TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    network UUID NOT NULL,
    released_at BIGINT NOT NULL
);
CREATE INDEX resting_hostnames_released ON resting_hostnames (released_at);
CREATE INDEX resting_hostnames_network ON resting_hostnames (network, released_at);
