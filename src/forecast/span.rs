//! A stretch of the past, and what it cost.

use crate::model::Millis;

/// A span of time that one block stands for, or one of each stream; spans do not overlap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistorySpan {
    /// Its begin.
    pub min_time: Millis,
    /// Its end, exclusive.
    pub max_time: Millis,
    /// Samples of the block in this time, taking them as evenly spread.
    pub samples: f64,
    /// Bytes of chunks in this time.
    pub chunk_bytes: f64,
    /// Bytes of index in this time, as they will be once compaction has reached the highest level
    /// seen.
    pub index_bytes: f64,
    /// Compaction level of the block, the highest of several.
    pub level: u64,
}

impl HistorySpan {
    /// Bytes of chunks and index.
    pub fn bytes(&self) -> f64 {
        self.chunk_bytes + self.index_bytes
    }
}
