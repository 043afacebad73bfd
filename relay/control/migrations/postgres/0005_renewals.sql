-- Which CA a certificate is from. Where there has been only one account, it is that one's; else nobody knows (NULL).
ALTER TABLE certificates ADD COLUMN directory TEXT COLLATE "C";
UPDATE certificates SET directory = (SELECT directory FROM acme_accounts WHERE credentials IS NOT NULL)
    WHERE (SELECT COUNT(*) FROM acme_accounts WHERE credentials IS NOT NULL) = 1;

-- How many of the failures were the proof's: only these are a reason to prove the name in another way.
ALTER TABLE certificate_orders ADD COLUMN proof_failures BIGINT NOT NULL DEFAULT 0 CHECK (proof_failures >= 0);

-- Before this the CA itself does not want to be asked; next_try_at has a pause of the relay's own on top.
ALTER TABLE certificate_orders ADD COLUMN retry_after BIGINT;
