-- Which network an address was leased to, and how many each network has, those that rest included. The networks of addresses that rest already are
-- not known: they count for none.
ALTER TABLE leases ADD COLUMN network UUID;
UPDATE leases SET network = (SELECT network FROM nodes WHERE nodes.id = leases.node);
CREATE INDEX leases_resting_of_network ON leases (network, released_at) WHERE released_at IS NOT NULL;

CREATE TABLE network_leases (
    network UUID NOT NULL PRIMARY KEY REFERENCES networks (id) ON DELETE CASCADE,
    leases BIGINT NOT NULL CHECK (leases >= 0)
);
INSERT INTO network_leases (network, leases)
    SELECT network, COUNT(*) FROM leases WHERE network IS NOT NULL GROUP BY network;
