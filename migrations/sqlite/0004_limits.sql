-- What the provider answered to an attempt that failed: its beginning, without secrets.
ALTER TABLE attempts ADD COLUMN excerpt TEXT;

-- held_from is moved back by earlier holds, so that it measures how long the clock stood still in all. The limit to one hold
-- counts from hold_began; hold_told names the hold that has been told of, so that each is told of once.
ALTER TABLE lanes ADD COLUMN hold_began INTEGER;
ALTER TABLE lanes ADD COLUMN hold_told INTEGER;
UPDATE lanes SET hold_began = CAST(unixepoch('subsec') * 1000000 AS INTEGER) WHERE hold_reason IS NOT NULL;

-- How far the payloads of a project have been removed: what lies before is not looked at again. (Postgres replaces the
-- partition of a day instead.)
CREATE TABLE payload_marks (
    project_id BLOB PRIMARY KEY,
    up_to      BLOB NOT NULL
) WITHOUT ROWID;
