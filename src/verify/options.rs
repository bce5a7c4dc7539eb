//! How verification is to be done.

use crate::raw::ReadMode;
use crate::start::Assumptions;

/// How much is proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// Everything: each chunk is decoded to its end.
    #[default]
    Full,
    /// Structure and checksums; chunks are not decoded.
    Quick,
    /// Only what a start of Prometheus reads of a block before it serves it: metadata, the tables
    /// of the index, tombstones and the series they are for, and headers of segments.
    Opening,
}

/// How verification is to be done.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyOptions {
    /// How much is proven.
    pub depth: Depth,
    /// How files are read.
    pub read_mode: ReadMode,
    /// Whether to count by job and metric.
    pub by_group: bool,
    /// The server whose start is foretold.
    pub start: Assumptions,
}
