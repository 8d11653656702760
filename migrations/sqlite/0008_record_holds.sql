-- Writes that said `onFailure: hold` and failed hold the later writes to their record.

-- Whether this item holds its record when it ends as failed or needs_review.
ALTER TABLE queue_items ADD COLUMN holds INTEGER NOT NULL DEFAULT 0;

-- One row for each write that failed so: items of its lane and record with a larger seq are passed over.
-- It is written in the commit that ends the write. A replay takes the place of what it repeats, so rows with one seq are one
-- write that has failed more than once, and leave together. Hardly ever are there many, and no item without a record looks.
CREATE TABLE record_holds (
    lane_id      BLOB NOT NULL,
    record_key   INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    operation_id BLOB NOT NULL,
    project_id   BLOB NOT NULL,
    PRIMARY KEY (lane_id, record_key, seq, operation_id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX record_holds_operation ON record_holds (project_id, operation_id);
