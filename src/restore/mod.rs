//! Repository → directory: plan, stage, prove, publish.
//!
//! Everything is written below a hidden directory inside the target, which Prometheus ignores; every file is
//! proved by its SHA-256 digest and made durable; then block after block is renamed into place, and the WAL
//! last. A crash at any moment leaves whole blocks and perhaps the hidden directory, never half a block under a
//! name that Prometheus would load. Nothing that exists is ever overwritten.

mod apply;
mod export;
pub mod plan;
mod stage;

pub use apply::{Failed, Report, apply};
pub use export::export_tar;
pub use plan::{Kin, Plan, Present, Wanted, plan};
pub use stage::Target;
