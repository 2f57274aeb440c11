-- A release before this one writes no more than actor and permissions: its only token cannot be revoked.
ALTER TABLE tickets
    ADD COLUMN name text,
    ADD COLUMN kind text NOT NULL DEFAULT 'token',
    ADD COLUMN credential text,
    ADD COLUMN parent text,
    ADD COLUMN caller_expires_at timestamptz;
