//! The queue: which worker has which shards, which lane runs next, and what happens after an attempt.
//! Knows neither SQL nor HTTP: it asks the store and the writes.

mod attempt;
mod bucket;
mod cancel;
mod conclude;
mod follow;
mod item;
mod lane;
pub mod retry;
mod scheduler;
mod shard;
mod turn;
mod wake;
mod worker;

pub use worker::{Worker, WorkerOptions};
