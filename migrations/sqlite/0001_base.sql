-- The mirror of the Postgres schema, number for number and name for name. Where they differ: times are INTEGER
-- microseconds since 1970 (UTC), ids are BLOBs of 16 bytes, history is not partitioned (one file, one process), and
-- the sequence is a row.

-- name_key is the name in lower case, made by the service: databases differ in what they call lower case.
CREATE TABLE projects (
    id          BLOB PRIMARY KEY,
    name        TEXT NOT NULL,
    name_key    TEXT NOT NULL UNIQUE,
    app_name    TEXT NOT NULL,
    org_id      BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER
);

-- Keys are random and long, so a plain SHA-256 is enough to make the table worthless to a thief.
CREATE TABLE api_keys (
    id          BLOB PRIMARY KEY,
    project_id  BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key_hash    BLOB NOT NULL UNIQUE,
    masked      TEXT NOT NULL,
    label       TEXT NOT NULL,
    scopes      TEXT NOT NULL,
    active      INTEGER NOT NULL,
    create_time INTEGER NOT NULL
);
CREATE INDEX api_keys_project ON api_keys (project_id, id);

CREATE TABLE groups (
    project_id  BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    group_ref   TEXT NOT NULL,
    group_name  TEXT NOT NULL,
    create_time INTEGER NOT NULL,
    update_time INTEGER,
    PRIMARY KEY (project_id, group_ref)
);

CREATE TABLE consumers (
    project_id    BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    consumer_ref  TEXT NOT NULL,
    consumer_name TEXT NOT NULL,
    create_time   INTEGER NOT NULL,
    update_time   INTEGER,
    PRIMARY KEY (project_id, consumer_ref)
);

-- `credentials` is a sealed envelope (see the vault); `credentials_version` fences two refreshers.
CREATE TABLE connections (
    id                     BLOB PRIMARY KEY,
    project_id             BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    provider               TEXT NOT NULL,
    group_ref              TEXT NOT NULL,
    consumer_ref           TEXT NOT NULL,
    provider_workspace_ref TEXT,
    provider_metadata      TEXT,
    auth_scheme            TEXT NOT NULL,
    status                 TEXT NOT NULL,
    credentials            BLOB NOT NULL,
    credentials_version    INTEGER NOT NULL,
    create_time            INTEGER NOT NULL,
    update_time            INTEGER,
    FOREIGN KEY (project_id, group_ref) REFERENCES groups (project_id, group_ref),
    FOREIGN KEY (project_id, consumer_ref) REFERENCES consumers (project_id, consumer_ref)
);
CREATE INDEX connections_group ON connections (project_id, group_ref, provider, id);

CREATE TABLE integrations (
    id                 BLOB PRIMARY KEY,
    project_id         BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name               TEXT NOT NULL,
    name_key           TEXT NOT NULL,
    provider           TEXT NOT NULL,
    latest_revision_id BLOB NOT NULL,
    create_time        INTEGER NOT NULL,
    update_time        INTEGER
);
CREATE UNIQUE INDEX integrations_name ON integrations (project_id, name_key);

-- Revisions and configs are never changed: an operation points at the ones that were in force.
CREATE TABLE revisions (
    id             BLOB PRIMARY KEY,
    project_id     BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    integration_id BLOB NOT NULL,
    spec_version   TEXT NOT NULL,
    content        TEXT NOT NULL,
    create_time    INTEGER NOT NULL
);
CREATE INDEX revisions_integration ON revisions (project_id, integration_id, id);

CREATE TABLE installations (
    id             BLOB PRIMARY KEY,
    project_id     BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    integration_id BLOB NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
    connection_id  BLOB NOT NULL REFERENCES connections (id),
    group_ref      TEXT NOT NULL,
    config_id      BLOB NOT NULL,
    created_by     TEXT NOT NULL,
    create_time    INTEGER NOT NULL,
    update_time    INTEGER,
    FOREIGN KEY (project_id, group_ref) REFERENCES groups (project_id, group_ref)
);
CREATE UNIQUE INDEX installations_group ON installations (project_id, integration_id, group_ref);
CREATE INDEX installations_connection ON installations (connection_id);

CREATE TABLE configs (
    id              BLOB PRIMARY KEY,
    project_id      BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    installation_id BLOB NOT NULL,
    revision_id     BLOB NOT NULL,
    content         TEXT NOT NULL,
    created_by      TEXT NOT NULL,
    create_time     INTEGER NOT NULL
);
CREATE INDEX configs_installation ON configs (project_id, installation_id, id);

-- One counter: every node polls it and drops its caches when it has moved.
CREATE TABLE config_version (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
);
INSERT INTO config_version (id, version) VALUES (1, 1);

-- History: append-only, never updated.
CREATE TABLE operations (
    project_id      BLOB NOT NULL,
    id              BLOB NOT NULL,
    integration_id  BLOB NOT NULL,
    installation_id BLOB NOT NULL,
    config_id       BLOB NOT NULL,
    revision_id     BLOB NOT NULL,
    connection_id   BLOB NOT NULL,
    object          TEXT NOT NULL,
    action          TEXT NOT NULL,
    mode            TEXT NOT NULL,
    request         TEXT NOT NULL,
    accept_time     INTEGER NOT NULL,
    deadline        INTEGER,
    PRIMARY KEY (project_id, id)
);
CREATE INDEX operations_installation ON operations (project_id, installation_id, id);

CREATE TABLE operation_results (
    project_id   BLOB NOT NULL,
    operation_id BLOB NOT NULL,
    state        TEXT NOT NULL,
    summary      TEXT NOT NULL,
    record_id    TEXT,
    errors       TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    finish_time  INTEGER NOT NULL,
    PRIMARY KEY (project_id, operation_id)
) WITHOUT ROWID;

-- Two rows with one id: 'sent' before a request leaves that must not be repeated blindly, then 'answered' when its outcome is
-- known, or 'unanswered' when no usable answer came. A 'sent' without its 'answered' is in doubt.
CREATE TABLE attempts (
    project_id   BLOB NOT NULL,
    operation_id BLOB NOT NULL,
    id           BLOB NOT NULL,
    number       INTEGER NOT NULL,
    state        TEXT NOT NULL,
    start_time   INTEGER NOT NULL,
    status       INTEGER,
    class        TEXT,
    message      TEXT,
    latency_us   INTEGER,
    PRIMARY KEY (project_id, operation_id, id, state)
) WITHOUT ROWID;

-- The only table that churns: live work alone, narrow rows, deleted when done.
-- `seq` comes from one sequence of the store and orders the writes to a record, whatever the clock of a node says.
CREATE TABLE queue_seq (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    value INTEGER NOT NULL
);
INSERT INTO queue_seq (id, value) VALUES (1, 0);
CREATE TABLE queue_items (
    shard        INTEGER NOT NULL,
    lane_id      BLOB NOT NULL,
    run_at       INTEGER NOT NULL,
    operation_id BLOB NOT NULL,
    project_id   BLOB NOT NULL,
    seq          INTEGER NOT NULL,
    record_key   INTEGER,
    attempt      INTEGER NOT NULL,
    PRIMARY KEY (shard, lane_id, run_at, operation_id)
) WITHOUT ROWID;
-- Answers "is an earlier write to this record still waiting?"; creates have no record key and pay nothing.
CREATE INDEX queue_items_record ON queue_items (lane_id, record_key, seq) WHERE record_key IS NOT NULL;

-- A lane has a row only while, or since, something about it must survive a restart or be seen by others.
-- The clock of waiting work stands still from held_from to held_until (or until now, while hold_reason is set).
CREATE TABLE lanes (
    lane_id      BLOB PRIMARY KEY,
    project_id   BLOB NOT NULL,
    hold_reason  TEXT,
    held_from    INTEGER,
    held_until   INTEGER,
    paused_until INTEGER
);

CREATE TABLE workers (
    id       BLOB PRIMARY KEY,
    seen_at  INTEGER NOT NULL
);

CREATE TABLE shards (
    id          INTEGER PRIMARY KEY,
    owner       BLOB,
    epoch       INTEGER NOT NULL,
    lease_until INTEGER
) WITHOUT ROWID;
WITH RECURSIVE numbers (g) AS (SELECT 0 UNION ALL SELECT g + 1 FROM numbers WHERE g < 63)
INSERT INTO shards (id, epoch) SELECT g, 0 FROM numbers;
