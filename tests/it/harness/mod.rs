//! What tests stand on: databases of their own, a service in this process, a client, and real processes.

pub mod client;
pub mod cluster;
pub mod database;
pub mod gate;
pub mod jwt;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod service;
pub mod shared;
mod template;

pub use client::Client;
pub use database::{Database, Kind};
pub use service::Service;

/// Declares that each of these `async fn name(kind: Kind)` runs on SQLite and on Postgres.
macro_rules! on_both_stores {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::harness::Kind::Sqlite).await; })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name($crate::harness::Kind::Postgres).await; })*
        }
    };
}
pub(crate) use on_both_stores;
