-- What was touched, by key, so that caches drop just that. One writer at a time: numbers become visible in their order.
CREATE TABLE changes (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id  BLOB    NOT NULL,
    kind        TEXT    NOT NULL,
    thing_id    BLOB    NOT NULL,
    time        INTEGER NOT NULL
);
CREATE INDEX changes_time ON changes (time);

DROP TABLE config_version;
