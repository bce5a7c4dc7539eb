//! Which blocks of a directory count.

use std::path::PathBuf;

use crate::block::{Block, DataDir};
use crate::inspect::BlockListing;
use crate::model::Ulid;
use crate::raw::ReadMode;

/// The blocks of a directory that count, and those that do not.
#[derive(Debug, Default)]
pub struct CountedBlocks {
    /// Blocks that count, the earliest first.
    pub blocks: Vec<Block>,
    /// Blocks that were compacted into another one, which Prometheus deletes soon. They do not
    /// count.
    pub superseded: Vec<Superseded>,
    /// Blocks that share time with another one. They count, and so do samples that both hold.
    pub overlapping: Vec<PathBuf>,
    /// Blocks that cannot be opened, each with the reason on one line.
    pub unreadable: Vec<String>,
}

/// A block that was compacted into another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The block's directory.
    pub dir: PathBuf,
    /// The block that replaces it.
    pub by: Ulid,
}

impl CountedBlocks {
    /// Opens the blocks of `dir`.
    pub fn open(dir: &DataDir, mode: ReadMode) -> Self {
        let listing = BlockListing::of(dir);
        let mut sources = CountedBlocks::default();
        for unreadable in listing.unreadable {
            let dir = unreadable.dir.display();
            sources
                .unreadable
                .push(format!("{dir}: {}", unreadable.reason));
        }
        for listed in listing.blocks {
            if let Some(by) = listed.superseded_by {
                let dir = listed.dir;
                sources.superseded.push(Superseded { dir, by });
                continue;
            }
            match Block::open(&listed.dir, mode) {
                Ok(block) => sources.blocks.push(block),
                Err(error) => sources.unreadable.push(error.chain()),
            }
            if !listed.overlaps.is_empty() {
                sources.overlapping.push(listed.dir);
            }
        }
        sources
    }
}
