-- Several hostnames and wildcards per publication, `tls` publications, and custom domains with their proof.
-- SQLite changes no CHECK in place: the tables are made anew. Rows of public_ports would go with the old publications, so they step aside.

CREATE TABLE new_publications (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    network BLOB NOT NULL REFERENCES networks (id),
    node BLOB NOT NULL REFERENCES nodes (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp', 'tls', 'http')),
    public_port INTEGER CHECK (public_port BETWEEN 1 AND 65535),
    port_count INTEGER NOT NULL CHECK (port_count BETWEEN 1 AND 65535),
    overlay_port INTEGER NOT NULL CHECK (overlay_port BETWEEN 1 AND 65535),
    target TEXT NOT NULL,
    access TEXT NOT NULL,
    lifetime TEXT NOT NULL CHECK (lifetime IN ('session', 'persistent')),
    created_at INTEGER NOT NULL,
    UNIQUE (network, name)
) STRICT;
INSERT INTO new_publications (id, network, node, name, protocol, public_port, port_count, overlay_port, target, access, lifetime, created_at)
    SELECT id, network, node, name, protocol, public_port, port_count, overlay_port, target, access, lifetime, created_at FROM publications;
CREATE TABLE old_hostnames AS SELECT hostname, id AS publication FROM publications WHERE hostname IS NOT NULL;
CREATE TABLE old_ports AS SELECT protocol, port, publication FROM public_ports;
DROP TABLE public_ports;
DROP TABLE publications;
ALTER TABLE new_publications RENAME TO publications;
CREATE INDEX publications_node ON publications (node);

CREATE TABLE public_ports (
    protocol TEXT NOT NULL CHECK (protocol IN ('tcp', 'udp')),
    port INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    publication BLOB NOT NULL REFERENCES publications (id) ON DELETE CASCADE,
    PRIMARY KEY (protocol, port)
) STRICT, WITHOUT ROWID;
CREATE INDEX public_ports_publication ON public_ports (publication);
INSERT INTO public_ports (protocol, port, publication) SELECT protocol, port, publication FROM old_ports;
DROP TABLE old_ports;

-- One row per hostname or wildcard: two publications can never hold one name.
CREATE TABLE public_hostnames (
    hostname TEXT NOT NULL PRIMARY KEY,
    publication BLOB NOT NULL REFERENCES publications (id) ON DELETE CASCADE,
    position INTEGER NOT NULL CHECK (position >= 0),
    UNIQUE (publication, position)
) STRICT, WITHOUT ROWID;
INSERT INTO public_hostnames (hostname, publication, position) SELECT hostname, publication, 0 FROM old_hostnames;
DROP TABLE old_hostnames;

CREATE TABLE domains (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    network BLOB NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    verified_at INTEGER,
    UNIQUE (network, name)
) STRICT;
-- Any network may ask for a domain; one has proved it.
CREATE UNIQUE INDEX domains_verified ON domains (name) WHERE verified_at IS NOT NULL;

-- A verified domain that was given back: for a while no other network gets it. The network may be gone.
CREATE TABLE domain_holds (
    name TEXT NOT NULL PRIMARY KEY,
    network BLOB NOT NULL CHECK (length(network) = 16),
    released_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX domain_holds_released ON domain_holds (released_at);
