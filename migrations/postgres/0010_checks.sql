-- A known text, sealed with the encryption key that was in use: whoever cannot open the newest one has another key. A new row
-- is added when a process that opens the newest one begins to seal with another key.
CREATE TABLE key_checks (
    number bigint PRIMARY KEY,
    sealed bytea NOT NULL,
    time   timestamptz NOT NULL
);

-- What processes write to find out whether the database takes writes; one row of each.
CREATE TABLE write_checks (
    id      uuid PRIMARY KEY,
    process uuid NOT NULL,
    time    timestamptz NOT NULL,
    filler  bytea NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
-- As large as it is said to be.
ALTER TABLE write_checks ALTER COLUMN filler SET STORAGE EXTERNAL;
