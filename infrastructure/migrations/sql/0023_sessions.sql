-- Sessions of the console, by a digest of the cookie's secret. `parent` is the token that a session
-- was made with, and `fixed_token` a MAC of the token of the settings that it was made with.
CREATE TABLE sessions (
    tenant       text        NOT NULL,
    digest       bytea       NOT NULL,
    id           uuid        NOT NULL,
    actor        text        NOT NULL,
    name         text,
    via          text        NOT NULL CHECK (via IN ('link', 'token', 'oidc')),
    permissions  text[]      NOT NULL,
    parent       text,
    fixed_token  bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    PRIMARY KEY (digest, tenant)
);
CREATE UNIQUE INDEX sessions_id ON sessions (tenant, id);
CREATE INDEX sessions_actor ON sessions (tenant, actor, id);
CREATE INDEX sessions_idle ON sessions (last_seen_at);

-- One-use sign-in links, by a digest of the code; each has what its session gets.
CREATE TABLE signin_links (
    tenant        text        NOT NULL,
    digest        bytea       NOT NULL,
    actor         text        NOT NULL,
    name          text,
    permissions   text[]      NOT NULL,
    parent        text,
    fixed_token   bytea,
    session_until timestamptz,
    expires_at    timestamptz NOT NULL,
    PRIMARY KEY (digest, tenant)
);
CREATE INDEX signin_links_expiry ON signin_links (expires_at);
