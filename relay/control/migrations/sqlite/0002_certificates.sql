-- One certificate for each subject: the first of its names. The private key is sealed; see src/sealing.rs.
CREATE TABLE certificates (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    network BLOB REFERENCES networks (id) ON DELETE CASCADE,
    subject TEXT NOT NULL UNIQUE,
    names TEXT NOT NULL,
    chain TEXT NOT NULL,
    private_key BLOB NOT NULL,
    issuer TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    renew_from INTEGER,
    renew_to INTEGER,
    ask_again_at INTEGER,
    created_at INTEGER NOT NULL,
    CHECK ((renew_from IS NULL) = (renew_to IS NULL) AND (renew_from IS NULL) = (ask_again_at IS NULL))
) STRICT;
CREATE INDEX certificates_network ON certificates (network);

-- One row while a subject has no valid certificate, or a new one is being ordered: who works on it, how far it is, and when it is tried again.
CREATE TABLE certificate_orders (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    network BLOB REFERENCES networks (id) ON DELETE CASCADE,
    subject TEXT NOT NULL UNIQUE,
    holder TEXT,
    held_until INTEGER,
    order_url TEXT,
    private_key BLOB,
    failures INTEGER NOT NULL CHECK (failures >= 0),
    problem TEXT,
    next_try_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    CHECK ((holder IS NULL) = (held_until IS NULL)),
    CHECK ((order_url IS NULL) = (private_key IS NULL))
) STRICT;
CREATE INDEX certificate_orders_network ON certificate_orders (network);

-- One account at each CA. The credentials are sealed, and absent until the CA has made the account.
CREATE TABLE acme_accounts (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    directory TEXT NOT NULL UNIQUE,
    credentials BLOB,
    paused_until INTEGER,
    created_at INTEGER NOT NULL
) STRICT;
