-- Single writes that are gathered into one operation. An open one has a row here, which whoever adds a record to it locks;
-- batch_key is a hash of all that its records have in common. When it is closed the row goes: from then on it is a batch.
CREATE TABLE auto_batches (
    project_id   uuid NOT NULL,
    batch_key    bytea NOT NULL,
    operation_id uuid NOT NULL,
    count        integer NOT NULL,
    bytes        bigint NOT NULL,
    PRIMARY KEY (project_id, batch_key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX auto_batches_operation ON auto_batches (project_id, operation_id);

-- The records of open ones, so that adding one does not write the others again. Closing moves them into the request.
CREATE TABLE batch_items (
    project_id   uuid NOT NULL,
    operation_id uuid NOT NULL,
    position     integer NOT NULL,
    item         text NOT NULL,
    PRIMARY KEY (project_id, operation_id, position)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

-- Which record of its operation a key was used for: whoever asks again is told.
ALTER TABLE idempotency_keys ADD COLUMN batch_index integer;
