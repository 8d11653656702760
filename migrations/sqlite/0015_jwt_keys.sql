-- Public keys of the app's backend: what its private half has signed is a customer's browser for ten minutes at most. The id is
-- the `kid` of the token and finds the project where no path names one. Nothing in here is secret.
CREATE TABLE jwt_keys (
    id             BLOB PRIMARY KEY,
    project_id     BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    label          TEXT NOT NULL,
    public_key_pem TEXT NOT NULL,
    active         INTEGER NOT NULL,
    create_time    INTEGER NOT NULL,
    update_time    INTEGER
);
CREATE INDEX jwt_keys_project ON jwt_keys (project_id, id);

-- When a key opens nothing any more, if ever; and when it was last used, to about a minute.
ALTER TABLE api_keys ADD COLUMN expire_time INTEGER;
ALTER TABLE api_keys ADD COLUMN last_used_time INTEGER;
