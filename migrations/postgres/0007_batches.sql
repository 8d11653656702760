-- A batch is one operation with several records. What a call carried and what became of each of its records is kept with
-- the attempt, and how each record of the operation ended with its result: JSON lists, absent for single writes.
ALTER TABLE attempts ADD COLUMN records text;
ALTER TABLE operation_results ADD COLUMN records text;

-- The records that batches in the queue are still going to write, with the batch's place in the order of acceptance: later
-- writes to the same record wait for them. A record leaves when it has ended, at the latest with its batch.
CREATE TABLE queue_records (
    lane_id      uuid NOT NULL,
    record_key   bigint NOT NULL,
    seq          bigint NOT NULL,
    project_id   uuid NOT NULL,
    operation_id uuid NOT NULL,
    PRIMARY KEY (lane_id, record_key, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queue_records_operation ON queue_records (project_id, operation_id);
