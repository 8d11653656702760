-- Single writes that are gathered into one operation. An open one has a row here; batch_key is a hash of all that its
-- records have in common. When it is closed the row goes: from then on it is a batch.
CREATE TABLE auto_batches (
    project_id   BLOB NOT NULL,
    batch_key    BLOB NOT NULL,
    operation_id BLOB NOT NULL,
    count        INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    PRIMARY KEY (project_id, batch_key)
) WITHOUT ROWID;
CREATE INDEX auto_batches_operation ON auto_batches (project_id, operation_id);

-- The records of open ones, so that adding one does not write the others again. Closing moves them into the request.
CREATE TABLE batch_items (
    project_id   BLOB NOT NULL,
    operation_id BLOB NOT NULL,
    position     INTEGER NOT NULL,
    item         TEXT NOT NULL,
    PRIMARY KEY (project_id, operation_id, position)
);

-- Which record of its operation a key was used for: whoever asks again is told.
ALTER TABLE idempotency_keys ADD COLUMN batch_index INTEGER;
