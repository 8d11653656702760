//! The endpoints under `/v1`, one folder per resource, one file per verb.

pub mod api_keys;
pub mod connections;
pub mod installations;
pub mod integrations;
pub mod jwt_keys;
pub mod oauth;
pub mod object_metadata;
pub mod operations;
pub mod projects;
pub mod provider_apps;
pub mod providers;
pub mod uploads;
pub mod writes;
