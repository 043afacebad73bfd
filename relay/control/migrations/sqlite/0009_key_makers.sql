-- Which API key made a key; NULL for the relay itself, and for keys from before this was kept.
ALTER TABLE api_keys ADD COLUMN maker BLOB CHECK (length(maker) = 16);
ALTER TABLE join_keys ADD COLUMN maker BLOB CHECK (length(maker) = 16);
CREATE INDEX api_keys_maker ON api_keys (maker) WHERE maker IS NOT NULL;
CREATE INDEX join_keys_maker ON join_keys (maker) WHERE maker IS NOT NULL;
