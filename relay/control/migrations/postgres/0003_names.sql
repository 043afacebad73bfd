-- Several hostnames and wildcards per publication, `tls` publications, and custom domains with their proof.
-- The same columns as migrations/sqlite.

ALTER TABLE publications DROP CONSTRAINT publications_protocol_check;
ALTER TABLE publications ADD CONSTRAINT publications_protocol_check CHECK (protocol IN ('tcp', 'udp', 'tls', 'http'));

-- One row per hostname or wildcard: two publications can never hold one name.
CREATE TABLE public_hostnames (
    hostname TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    publication UUID NOT NULL REFERENCES publications (id) ON DELETE CASCADE,
    position BIGINT NOT NULL CHECK (position >= 0),
    UNIQUE (publication, position)
);
INSERT INTO public_hostnames (hostname, publication, position) SELECT hostname, id, 0 FROM publications WHERE hostname IS NOT NULL;
ALTER TABLE publications DROP COLUMN hostname;

CREATE TABLE domains (
    id UUID NOT NULL PRIMARY KEY,
    network UUID NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    verified_at BIGINT,
    UNIQUE (network, name)
);
-- Any network may ask for a domain; one has proved it.
CREATE UNIQUE INDEX domains_verified ON domains (name) WHERE verified_at IS NOT NULL;

-- A verified domain that was given back: for a while no other network gets it. The network may be gone.
CREATE TABLE domain_holds (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    network UUID NOT NULL,
    released_at BIGINT NOT NULL
);
CREATE INDEX domain_holds_released ON domain_holds (released_at);
