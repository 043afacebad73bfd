-- One certificate for each subject: the first of its names. The private key is sealed; see src/sealing.rs.
CREATE TABLE certificates (
    id UUID NOT NULL PRIMARY KEY,
    network UUID REFERENCES networks (id) ON DELETE CASCADE,
    subject TEXT COLLATE "C" NOT NULL UNIQUE,
    names TEXT COLLATE "C" NOT NULL,
    chain TEXT COLLATE "C" NOT NULL,
    private_key BYTEA NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    renew_from BIGINT,
    renew_to BIGINT,
    ask_again_at BIGINT,
    created_at BIGINT NOT NULL,
    CHECK ((renew_from IS NULL) = (renew_to IS NULL) AND (renew_from IS NULL) = (ask_again_at IS NULL))
);
CREATE INDEX certificates_network ON certificates (network);

-- One row while a subject has no valid certificate, or a new one is being ordered: who works on it, how far it is, and when it is tried again.
CREATE TABLE certificate_orders (
    id UUID NOT NULL PRIMARY KEY,
    network UUID REFERENCES networks (id) ON DELETE CASCADE,
    subject TEXT COLLATE "C" NOT NULL UNIQUE,
    holder TEXT COLLATE "C",
    held_until BIGINT,
    order_url TEXT COLLATE "C",
    private_key BYTEA,
    failures BIGINT NOT NULL CHECK (failures >= 0),
    problem TEXT COLLATE "C",
    next_try_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    CHECK ((holder IS NULL) = (held_until IS NULL)),
    CHECK ((order_url IS NULL) = (private_key IS NULL))
);
CREATE INDEX certificate_orders_network ON certificate_orders (network);

-- One account at each CA. The credentials are sealed, and absent until the CA has made the account.
CREATE TABLE acme_accounts (
    id UUID NOT NULL PRIMARY KEY,
    directory TEXT COLLATE "C" NOT NULL UNIQUE,
    credentials BYTEA,
    paused_until BIGINT,
    created_at BIGINT NOT NULL
);
