-- What was touched, by key, so that the caches of every node drop just that. A row is written by the transaction that
-- touches it, and read by those who have not seen its transaction: numbers would not do, as they become visible out of order.
CREATE TABLE changes (
    xid         xid8        NOT NULL DEFAULT pg_current_xact_id(),
    project_id  uuid        NOT NULL,
    kind        text        NOT NULL,
    thing_id    uuid        NOT NULL,
    time        timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX changes_xid ON changes (xid);
CREATE INDEX changes_time ON changes (time);

-- One row told every node that something had changed, and all who changed something waited for it. Processes of the version
-- before may still run: they read and write this view, and are heard as one who has touched everything.
DROP TABLE config_version;
CREATE VIEW config_version AS
    SELECT 1::smallint AS id, count(*) + COALESCE(max(xid::text::bigint), 0) AS version FROM changes;
CREATE RULE config_version_update AS ON UPDATE TO config_version DO INSTEAD
    INSERT INTO changes (project_id, kind, thing_id)
    VALUES ('00000000-0000-0000-0000-000000000000', 'everything', '00000000-0000-0000-0000-000000000000');
