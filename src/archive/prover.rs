//! The proof that goes with a backup, as a port: whoever starts a backup says how deeply blocks are verified.

use std::path::Path;

use crate::block::Block;
use crate::error::Result;
use crate::raw::ReadMode;
use crate::repository::FindingCounts;

/// Proves blocks that are about to be archived. Called from several threads.
pub trait Prover: Sync {
    /// Verifies the block in `dir`. Damage is counted, not an error.
    ///
    /// # Errors
    ///
    /// When the block cannot be read at all; `NotFound` when it has vanished.
    fn block(&self, dir: &Path) -> Result<FindingCounts>;
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
}
