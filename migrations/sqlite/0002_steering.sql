-- What it takes to find operations again, to answer a repeated request with its first answer, and to stop work that waits.

-- client_ref: the app's own name for the record. replay_of: the operation that this one repeats. Few rows have either, so
-- their indexes cost the others nothing.
ALTER TABLE operations ADD COLUMN client_ref TEXT;
ALTER TABLE operations ADD COLUMN replay_of BLOB;
CREATE INDEX operations_client_ref ON operations (project_id, client_ref, id) WHERE client_ref IS NOT NULL;
CREATE INDEX operations_replay_of ON operations (project_id, replay_of, id) WHERE replay_of IS NOT NULL;

-- Lists by state. Successes are most of the history and are found without it, so they do not pay for it.
CREATE INDEX operation_results_ended ON operation_results (project_id, operation_id, state) WHERE state <> 'succeeded';
-- The order of finishing, for watchers.
CREATE INDEX operation_results_finish ON operation_results (project_id, finish_time, operation_id);

-- One item by its operation: what it waits for, cancelling it, and the list of what is in progress.
CREATE UNIQUE INDEX queue_items_operation ON queue_items (project_id, operation_id);

-- One row for each idempotency key, written in the commit that stores its operation.
CREATE TABLE idempotency_keys (
    project_id   BLOB NOT NULL,
    key          TEXT NOT NULL,
    fingerprint  BLOB NOT NULL,
    operation_id BLOB NOT NULL,
    create_time  INTEGER NOT NULL,
    PRIMARY KEY (project_id, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_age ON idempotency_keys (create_time);

-- What a synchronous write with a key was answered: append-only. A released one was certainly not applied (a rate limit, say):
-- its key is free again.
CREATE TABLE idempotency_answers (
    project_id   BLOB NOT NULL,
    operation_id BLOB NOT NULL,
    released     INTEGER NOT NULL,
    answer       TEXT,
    create_time  INTEGER NOT NULL,
    PRIMARY KEY (project_id, operation_id)
);
CREATE INDEX idempotency_answers_age ON idempotency_answers (create_time);

-- Requests to cancel, for the worker that has the shard: only it knows what it has started.
CREATE TABLE cancellations (
    project_id   BLOB NOT NULL,
    operation_id BLOB NOT NULL,
    shard        INTEGER NOT NULL,
    lane_id      BLOB NOT NULL,
    refusal      TEXT,
    create_time  INTEGER NOT NULL,
    PRIMARY KEY (project_id, operation_id)
) WITHOUT ROWID;
