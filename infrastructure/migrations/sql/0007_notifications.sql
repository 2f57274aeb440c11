-- What people who watch are told; the newest thousand of a day. Numbers rise in the order of commits.
CREATE TABLE notifications (
    number   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant   text        NOT NULL,
    id       uuid        NOT NULL,
    severity text        NOT NULL CHECK (severity IN ('info', 'success', 'warning', 'error')),
    message  text        NOT NULL,
    about    text        NOT NULL,
    told_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- How many parked streams people were told of last.
ALTER TABLE projections ADD COLUMN told_parked bigint NOT NULL DEFAULT 0;
