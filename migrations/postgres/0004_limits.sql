-- What the provider answered to an attempt that failed: its beginning, without secrets.
ALTER TABLE attempts ADD COLUMN excerpt text;

-- held_from is moved back by earlier holds, so that it measures how long the clock stood still in all. The limit to one hold
-- counts from hold_began; hold_told names the hold that has been told of, so that each is told of once by all nodes together.
ALTER TABLE lanes ADD COLUMN hold_began timestamptz, ADD COLUMN hold_told timestamptz;
UPDATE lanes SET hold_began = now() WHERE hold_reason IS NOT NULL;
