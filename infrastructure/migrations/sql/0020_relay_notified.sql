-- The state of the relay in the last notifications about it: one row, so that one process sends each.
CREATE TABLE relay_notified (
    tenant    text    PRIMARY KEY,
    rejected  bigint  NOT NULL DEFAULT 0,
    is_behind boolean NOT NULL DEFAULT false
);
