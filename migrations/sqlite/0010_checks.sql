-- A known text, sealed with the encryption key that was in use: whoever cannot open the newest one has another key. A new row
-- is added when a process that opens the newest one begins to seal with another key.
CREATE TABLE key_checks (
    number INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL,
    time   INTEGER NOT NULL
);

-- What the process writes to find out whether the file takes writes; one row.
CREATE TABLE write_checks (
    id      BLOB PRIMARY KEY,
    process BLOB NOT NULL,
    time    INTEGER NOT NULL,
    filler  BLOB NOT NULL
);
