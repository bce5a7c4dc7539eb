//! The proof that goes with a backup, as a port: the archive does not know how blocks and logs are verified.

use std::path::Path;

use crate::block::Block;
use crate::error::Result;
use crate::model::Millis;
use crate::raw::{FileBytes, ReadMode};
use crate::repository::FindingCounts;

/// Proves what is about to be archived. Called from several threads.
pub trait Prover: Sync {
    /// Verifies the block in `dir`. Damage is counted, not an error.
    ///
    /// # Errors
    ///
    /// When the block cannot be read at all; `NotFound` when it has vanished.
    fn block(&self, dir: &Path) -> Result<FindingCounts>;

    /// What the logs hold, given their segments in the order of replay.
    fn logs(&self, segments: &mut dyn Iterator<Item = LogSegment>) -> LogSpan;
}

/// One segment of a WAL or WBL, open.
#[derive(Debug)]
pub struct LogSegment {
    /// Its name below the data directory: `wal/00000012`, `wal/checkpoint.00000011/00000000`, `wbl/…`.
    pub name: String,
    /// Its bytes, and perhaps some that were appended since it was opened.
    pub(super) bytes: FileBytes,
    pub(super) length: usize,
}

impl LogSegment {
    /// Its bytes, as many as are archived.
    pub fn content(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

/// What a WAL and a WBL hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSpan {
    /// Time of the first sample.
    pub min_time: Option<Millis>,
    /// Time of the last sample.
    pub max_time: Option<Millis>,
    /// Number of samples.
    pub samples: u64,
    /// What is wrong with them, as sentences. A torn end is not: the server was writing.
    pub damage: Vec<String>,
}

/// Proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unproven;

impl Prover for Unproven {
    fn block(&self, _dir: &Path) -> Result<FindingCounts> {
        Ok(FindingCounts::default())
    }

    fn logs(&self, _segments: &mut dyn Iterator<Item = LogSegment>) -> LogSpan {
        LogSpan::default()
    }
}

/// Proves what opening proves: metadata, headers, table of contents, tombstones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Opening {
    /// How files are read.
    pub read_mode: ReadMode,
}

impl Prover for Opening {
    fn block(&self, dir: &Path) -> Result<FindingCounts> {
        let mut counts = FindingCounts::default();
        if Block::open(dir, self.read_mode).is_err() {
            counts.by_severity.insert("error".to_owned(), 1);
            counts.by_kind.insert("block-does-not-open".to_owned(), 1);
        }
        Ok(counts)
    }

    fn logs(&self, _segments: &mut dyn Iterator<Item = LogSegment>) -> LogSpan {
        LogSpan::default()
    }
}
