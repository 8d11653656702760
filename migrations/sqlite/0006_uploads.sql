-- Zips of manifests between their upload and their deploy; gone after an hour.
CREATE TABLE uploads (
    project_id  BLOB NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    id          BLOB NOT NULL,
    content     BLOB NOT NULL,
    create_time INTEGER NOT NULL,
    PRIMARY KEY (project_id, id)
);
