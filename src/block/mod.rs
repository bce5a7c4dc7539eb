//! One immutable block directory, and the data directory around it.

mod meta;
mod tombstones;

pub use meta::{Compaction, META_VERSION, Meta, Parent, Stats};
pub use tombstones::{MAGIC as TOMBSTONES_MAGIC, Tombstone, Tombstones};
