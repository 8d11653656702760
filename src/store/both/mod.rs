//! What both databases understand, written once: this folder is compiled twice, as a part of `postgres` and as a part of
//! `sqlite`.
//!
//! The parent brings what differs: its types ([`ThisStore`], [`Db`], [`DbConnection`]), functions of the same name and shape, and
//! macros for what stands in the middle of a statement, such as `now!()`. What takes more than that to look the same is not the
//! same: it has a file on each side.

mod backlog;
mod checks;
mod connections;
mod flows;
mod grants;
mod installations;
mod integrations;
mod jwt_keys;
mod lanes;
mod lookups;
mod projects;
mod provider_apps;
mod retention;
mod steering;

use super::{Db, DbConnection, ThisStore, changes, gather, holds, in_background, operations};
