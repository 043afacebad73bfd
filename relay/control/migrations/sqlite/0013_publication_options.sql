-- All options of a publication are one JSON document, as the API has them: a new one needs no step of the schema.

ALTER TABLE publications ADD COLUMN options TEXT NOT NULL DEFAULT '{}';
UPDATE publications SET options = json_object(
    'web', json_object('host_header', host_header, 'tls_min', tls_min),
    'health', json_object('check', health, 'interval_seconds', health_interval)
);
ALTER TABLE publications DROP COLUMN host_header;
ALTER TABLE publications DROP COLUMN tls_min;
ALTER TABLE publications DROP COLUMN health;
ALTER TABLE publications DROP COLUMN health_interval;
