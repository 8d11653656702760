//! The endpoints under `/v1`, one folder per resource, one file per verb.

pub mod api_keys;
pub mod connections;
pub mod installations;
pub mod integrations;
pub mod jwt_keys;
pub mod object_metadata;
pub mod operations;
pub mod projects;
pub mod providers;
pub mod uploads;
pub mod writes;
