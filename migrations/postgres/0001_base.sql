-- What is written here decides speed and safety later, so each choice says why.
--
-- * Every table carries project_id and every statement names it: tenants never meet, and the tables
--   can be distributed by project when one Postgres is no longer enough.
-- * Ids are UUIDv7: unique on every node, ordered by time, so history is partitioned by id.
-- * JSON is validated by the service and kept as text: jsonb would parse it again and lose key order and digits.

-- name_key is the name in lower case, made by the service: databases differ in what they call lower case.
CREATE TABLE projects (
    id          uuid PRIMARY KEY,
    name        text NOT NULL,
    name_key    text NOT NULL UNIQUE,
    app_name    text NOT NULL,
    org_id      uuid NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz
);

-- Keys are random and long, so a plain SHA-256 is enough to make the table worthless to a thief.
CREATE TABLE api_keys (
    id          uuid PRIMARY KEY,
    project_id  uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    key_hash    bytea NOT NULL UNIQUE,
    masked      text NOT NULL,
    label       text NOT NULL,
    scopes      text NOT NULL,
    active      boolean NOT NULL,
    create_time timestamptz NOT NULL
);
CREATE INDEX api_keys_project ON api_keys (project_id, id);

CREATE TABLE groups (
    project_id  uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    group_ref   text NOT NULL,
    group_name  text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz,
    PRIMARY KEY (project_id, group_ref)
);

CREATE TABLE consumers (
    project_id    uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    consumer_ref  text NOT NULL,
    consumer_name text NOT NULL,
    create_time   timestamptz NOT NULL,
    update_time   timestamptz,
    PRIMARY KEY (project_id, consumer_ref)
);

-- `credentials` is a sealed envelope (see the vault); `credentials_version` fences two refreshers.
CREATE TABLE connections (
    id                     uuid PRIMARY KEY,
    project_id             uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    provider               text NOT NULL,
    group_ref              text NOT NULL,
    consumer_ref           text NOT NULL,
    provider_workspace_ref text,
    provider_metadata      text,
    auth_scheme            text NOT NULL,
    status                 text NOT NULL,
    credentials            bytea NOT NULL,
    credentials_version    bigint NOT NULL,
    create_time            timestamptz NOT NULL,
    update_time            timestamptz,
    FOREIGN KEY (project_id, group_ref) REFERENCES groups (project_id, group_ref),
    FOREIGN KEY (project_id, consumer_ref) REFERENCES consumers (project_id, consumer_ref)
);
CREATE INDEX connections_group ON connections (project_id, group_ref, provider, id);

CREATE TABLE integrations (
    id                 uuid PRIMARY KEY,
    project_id         uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name               text NOT NULL,
    name_key           text NOT NULL,
    provider           text NOT NULL,
    latest_revision_id uuid NOT NULL,
    create_time        timestamptz NOT NULL,
    update_time        timestamptz
);
CREATE UNIQUE INDEX integrations_name ON integrations (project_id, name_key);

-- Revisions and configs are never changed: an operation points at the ones that were in force.
CREATE TABLE revisions (
    id             uuid PRIMARY KEY,
    project_id     uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    integration_id uuid NOT NULL,
    spec_version   text NOT NULL,
    content        text NOT NULL,
    create_time    timestamptz NOT NULL
);
CREATE INDEX revisions_integration ON revisions (project_id, integration_id, id);

CREATE TABLE installations (
    id             uuid PRIMARY KEY,
    project_id     uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    integration_id uuid NOT NULL REFERENCES integrations (id) ON DELETE CASCADE,
    connection_id  uuid NOT NULL REFERENCES connections (id),
    group_ref      text NOT NULL,
    config_id      uuid NOT NULL,
    created_by     text NOT NULL,
    create_time    timestamptz NOT NULL,
    update_time    timestamptz,
    FOREIGN KEY (project_id, group_ref) REFERENCES groups (project_id, group_ref)
);
CREATE UNIQUE INDEX installations_group ON installations (project_id, integration_id, group_ref);
CREATE INDEX installations_connection ON installations (connection_id);

CREATE TABLE configs (
    id              uuid PRIMARY KEY,
    project_id      uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    installation_id uuid NOT NULL,
    revision_id     uuid NOT NULL,
    content         text NOT NULL,
    created_by      text NOT NULL,
    create_time     timestamptz NOT NULL
);
CREATE INDEX configs_installation ON configs (project_id, installation_id, id);

-- One counter: every node polls it and drops its caches when it has moved.
CREATE TABLE config_version (
    id      smallint PRIMARY KEY CHECK (id = 1),
    version bigint NOT NULL
);
INSERT INTO config_version (id, version) VALUES (1, 1);

-- History: append-only, never updated, partitioned by the time inside the id. A partition that no longer
-- holds live work can be dropped whole. The default partition only catches ids of a clock that is far off.
CREATE TABLE operations (
    project_id      uuid NOT NULL,
    id              uuid NOT NULL,
    integration_id  uuid NOT NULL,
    installation_id uuid NOT NULL,
    config_id       uuid NOT NULL,
    revision_id     uuid NOT NULL,
    connection_id   uuid NOT NULL,
    object          text NOT NULL,
    action          text NOT NULL,
    mode            text NOT NULL,
    request         text NOT NULL,
    accept_time     timestamptz NOT NULL,
    deadline        timestamptz,
    PRIMARY KEY (project_id, id)
) PARTITION BY RANGE (id);
CREATE TABLE operations_default PARTITION OF operations DEFAULT;
CREATE INDEX operations_installation ON operations (project_id, installation_id, id);

CREATE TABLE operation_results (
    project_id   uuid NOT NULL,
    operation_id uuid NOT NULL,
    state        text NOT NULL,
    summary      text NOT NULL,
    record_id    text,
    errors       text NOT NULL,
    attempts     integer NOT NULL,
    finish_time  timestamptz NOT NULL,
    PRIMARY KEY (project_id, operation_id)
) PARTITION BY RANGE (operation_id);
CREATE TABLE operation_results_default PARTITION OF operation_results DEFAULT;

-- Two rows with one id: 'sent' before a request leaves that must not be repeated blindly, then 'answered' when its outcome is
-- known, or 'unanswered' when no usable answer came. A 'sent' without its 'answered' is in doubt.
CREATE TABLE attempts (
    project_id   uuid NOT NULL,
    operation_id uuid NOT NULL,
    id           uuid NOT NULL,
    number       integer NOT NULL,
    state        text NOT NULL,
    start_time   timestamptz NOT NULL,
    status       integer,
    class        text,
    message      text,
    latency_us   bigint,
    PRIMARY KEY (project_id, operation_id, id, state)
) PARTITION BY RANGE (operation_id);
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

-- The only table that churns: live work alone, narrow rows, deleted when done.
-- `seq` comes from one sequence of the store and orders the writes to a record, whatever the clock of a node says.
CREATE SEQUENCE queue_seq;
CREATE TABLE queue_items (
    shard        smallint NOT NULL,
    lane_id      uuid NOT NULL,
    run_at       timestamptz NOT NULL,
    operation_id uuid NOT NULL,
    project_id   uuid NOT NULL,
    seq          bigint NOT NULL,
    record_key   bigint,
    attempt      integer NOT NULL,
    PRIMARY KEY (shard, lane_id, run_at, operation_id)
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
-- Answers "is an earlier write to this record still waiting?"; creates have no record key and pay nothing.
CREATE INDEX queue_items_record ON queue_items (lane_id, record_key, seq) WHERE record_key IS NOT NULL;

-- A lane has a row only while, or since, something about it must survive a restart or be seen by others.
-- The clock of waiting work stands still from held_from to held_until (or until now, while hold_reason is set).
CREATE TABLE lanes (
    lane_id      uuid PRIMARY KEY,
    project_id   uuid NOT NULL,
    hold_reason  text,
    held_from    timestamptz,
    held_until   timestamptz,
    paused_until timestamptz
);

CREATE TABLE workers (
    id       uuid PRIMARY KEY,
    seen_at  timestamptz NOT NULL
);

-- fillfactor: the rows are updated every few seconds and must stay on their page.
CREATE TABLE shards (
    id          smallint PRIMARY KEY,
    owner       uuid,
    epoch       bigint NOT NULL,
    lease_until timestamptz
) WITH (fillfactor = 10);
INSERT INTO shards (id, epoch) SELECT g, 0 FROM generate_series(0, 63) AS g;
