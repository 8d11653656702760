-- An app at a provider that asks customers on behalf of a project. `secrets` is a sealed envelope: the client secret, and the one
-- before for as long as both are tried. `fault` is what the provider says of the app while it refuses it.
CREATE TABLE provider_apps (
    id              BLOB PRIMARY KEY,
    project_id      BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    provider        TEXT NOT NULL,
    external_ref    TEXT,
    client_id       TEXT NOT NULL,
    secrets         BLOB NOT NULL,
    scopes          TEXT NOT NULL,
    optional_scopes TEXT NOT NULL,
    metadata        TEXT,
    fault           TEXT,
    fault_time      INTEGER,
    create_time     INTEGER NOT NULL,
    update_time     INTEGER
);
CREATE INDEX provider_apps_provider ON provider_apps (project_id, provider, id);

-- A customer who is being asked. The link, the state and the cookie are known by their hashes only; `verifier` is sealed. A flow
-- that has ended is kept for a while, so that its callback can be told from one that never was.
CREATE TABLE oauth_flows (
    id              BLOB PRIMARY KEY,
    project_id      BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    provider_app_id BLOB NOT NULL REFERENCES provider_apps (id) ON DELETE CASCADE,
    connection_id   BLOB REFERENCES connections (id) ON DELETE CASCADE,
    link_hash       BLOB NOT NULL UNIQUE,
    state_hash      BLOB UNIQUE,
    cookie_hash     BLOB,
    verifier        BLOB,
    request         TEXT NOT NULL,
    expire_time     INTEGER NOT NULL,
    end_time        INTEGER,
    create_time     INTEGER NOT NULL
);
CREATE INDEX oauth_flows_expire ON oauth_flows (expire_time);

-- What is known of the OAuth grant behind a connection, beside its tokens (`connections.credentials`). One process at a time
-- refreshes it: `owner` until `owner_until`, fenced by `epoch`. `sent_time` stands while a refresh token has been sent and its
-- answer is not stored. Nothing but refreshing updates these rows, save for the ends of a connection.
CREATE TABLE grants (
    connection_id       BLOB PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
    project_id          BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    provider_app_id     BLOB REFERENCES provider_apps (id) ON DELETE SET NULL,
    account_id          TEXT,
    account_name        TEXT,
    scopes              TEXT,
    life_seconds        INTEGER,
    refresh_time        INTEGER,
    refresh_expire_time INTEGER,
    owner               BLOB,
    epoch               INTEGER NOT NULL,
    owner_until         INTEGER,
    sent_time           INTEGER,
    failures            INTEGER NOT NULL,
    retry_time          INTEGER,
    last_error          TEXT,
    last_error_time     INTEGER,
    last_refresh_time   INTEGER
);
CREATE INDEX grants_due ON grants (refresh_time) WHERE refresh_time IS NOT NULL;
CREATE INDEX grants_app ON grants (provider_app_id);
