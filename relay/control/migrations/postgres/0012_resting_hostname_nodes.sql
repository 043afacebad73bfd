-- Which node gave a hostname back, so that none pushes out what the others of its network gave back; zeros for those from before this was kept.
ALTER TABLE resting_hostnames ADD COLUMN node UUID NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
DROP INDEX resting_hostnames_network;
CREATE INDEX resting_hostnames_node ON resting_hostnames (network, node, released_at);
