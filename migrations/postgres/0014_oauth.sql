-- An app at a provider that asks customers on behalf of a project. `secrets` is a sealed envelope: the client secret, and the one
-- before for as long as both are tried. `fault` is what the provider says of the app while it refuses it.
CREATE TABLE provider_apps (
    id              uuid PRIMARY KEY,
    project_id      uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    provider        text NOT NULL,
    external_ref    text,
    client_id       text NOT NULL,
    secrets         bytea NOT NULL,
    scopes          text NOT NULL,
    optional_scopes text NOT NULL,
    metadata        text,
    fault           text,
    fault_time      timestamptz,
    create_time     timestamptz NOT NULL,
    update_time     timestamptz
);
CREATE INDEX provider_apps_provider ON provider_apps (project_id, provider, id);

-- A customer who is being asked. The link, the state and the cookie are known by their hashes only; `verifier` is sealed. A flow
-- that has ended is kept for a while, so that its callback can be told from one that never was.
CREATE TABLE oauth_flows (
    id              uuid PRIMARY KEY,
    project_id      uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    provider_app_id uuid NOT NULL REFERENCES provider_apps (id) ON DELETE CASCADE,
    connection_id   uuid REFERENCES connections (id) ON DELETE CASCADE,
    link_hash       bytea NOT NULL UNIQUE,
    state_hash      bytea UNIQUE,
    cookie_hash     bytea,
    verifier        bytea,
    request         text NOT NULL,
    expire_time     timestamptz NOT NULL,
    end_time        timestamptz,
    create_time     timestamptz NOT NULL
);
CREATE INDEX oauth_flows_expire ON oauth_flows (expire_time);

-- What is known of the OAuth grant behind a connection, beside its tokens (`connections.credentials`). One process at a time
-- refreshes it: `owner` until `owner_until`, fenced by `epoch`. `sent_time` stands while a refresh token has been sent and its
-- answer is not stored. Nothing but refreshing updates these rows, save for the ends of a connection.
CREATE TABLE grants (
    connection_id       uuid PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
    project_id          uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    provider_app_id     uuid REFERENCES provider_apps (id) ON DELETE SET NULL,
    account_id          text,
    account_name        text,
    scopes              text,
    life_seconds        bigint,
    refresh_time        timestamptz,
    refresh_expire_time timestamptz,
    owner               uuid,
    epoch               bigint NOT NULL,
    owner_until         timestamptz,
    sent_time           timestamptz,
    failures            integer NOT NULL,
    retry_time          timestamptz,
    last_error          text,
    last_error_time     timestamptz,
    last_refresh_time   timestamptz
);
CREATE INDEX grants_due ON grants (refresh_time) WHERE refresh_time IS NOT NULL;
CREATE INDEX grants_app ON grants (provider_app_id);
