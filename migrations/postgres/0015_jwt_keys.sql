-- Public keys of the app's backend: what its private half has signed is a customer's browser for ten minutes at most. The id is
-- the `kid` of the token and finds the project where no path names one. Nothing in here is secret.
CREATE TABLE jwt_keys (
    id             uuid PRIMARY KEY,
    project_id     uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    label          text NOT NULL,
    public_key_pem text NOT NULL,
    active         boolean NOT NULL,
    create_time    timestamptz NOT NULL,
    update_time    timestamptz
);
CREATE INDEX jwt_keys_project ON jwt_keys (project_id, id);

-- When a key opens nothing any more, if ever; and when it was last used, to about a minute.
ALTER TABLE api_keys ADD COLUMN expire_time timestamptz, ADD COLUMN last_used_time timestamptz;
