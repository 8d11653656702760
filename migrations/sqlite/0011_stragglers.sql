-- Requests that may still take effect although nobody waits for their answers any more.

-- How long a call of the owner may take, in microseconds, and until when calls of a former owner, which did not give the shard
-- back, may still be on their way.
ALTER TABLE shards ADD COLUMN calls INTEGER;
ALTER TABLE shards ADD COLUMN unsettled_until INTEGER;

-- One row for each record that such a request may still change: items of its lane and record with a larger seq wait until
-- then, so that they do not take effect first. Written in the commit that ends the write or puts it off. Hardly ever are
-- there any; what has run out is removed while shards are leased.
CREATE TABLE stragglers (
    lane_id    BLOB NOT NULL,
    record_key INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    project_id BLOB NOT NULL,
    until      INTEGER NOT NULL,
    PRIMARY KEY (lane_id, record_key)
) WITHOUT ROWID;
