-- Zips of manifests between their upload and their deploy; gone after an hour.
CREATE TABLE uploads (
    project_id  uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    id          uuid NOT NULL,
    content     bytea NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (project_id, id)
);
