-- The last use of each token, to about a minute.
CREATE TABLE token_uses (
    tenant       text        NOT NULL,
    token        uuid        NOT NULL,
    last_used_at timestamptz NOT NULL,
    PRIMARY KEY (token, tenant)
) WITH (fillfactor = 50);

-- The tokens that are not revoked, in the order of their ids: a list must not read all claims.
CREATE INDEX claims_tokens ON claims (stream_id) WHERE scope IN ('token-0', 'token-1');
