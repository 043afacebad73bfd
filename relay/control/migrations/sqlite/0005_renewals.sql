-- How many of the failures were the proof's: only these are a reason to prove the name in another way.
ALTER TABLE certificate_orders ADD COLUMN proof_failures INTEGER NOT NULL DEFAULT 0 CHECK (proof_failures >= 0);
