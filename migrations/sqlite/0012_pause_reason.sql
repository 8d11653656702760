-- Why a lane pauses: `rate_limit`, `quota` or `backoff`. What waits in it is told so.
ALTER TABLE lanes ADD COLUMN pause_reason TEXT;
