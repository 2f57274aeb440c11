-- The last use of each token, to about a minute.
CREATE TABLE IF NOT EXISTS token_uses (
    tenant       text        NOT NULL,
    token        uuid        NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (token, tenant)
) WITH (fillfactor = 50);
