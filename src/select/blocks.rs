//! Opening the blocks of a directory that are asked for.

use std::path::PathBuf;

use crate::block::{Block, BlockFiles, DataDir, DirEntry, Meta, read_meta};
use crate::error::{Error, Result};
use crate::model::{Succession, TimeRange, Ulid};
use crate::raw::ReadMode;

/// The blocks of a directory that hold samples of the time asked for.
#[derive(Debug, Default)]
pub struct SelectedBlocks {
    /// Blocks that opened.
    pub blocks: Vec<Block>,
    /// Blocks that did not.
    pub unreadable: Vec<UnreadableBlock>,
}

/// A block that cannot be read.
#[derive(Debug)]
pub struct UnreadableBlock {
    /// Its directory.
    pub dir: PathBuf,
    /// Why.
    pub error: Error,
    /// A block that can be read and was compacted from this one: nothing is missing, and
    /// Prometheus ignores this one as well.
    pub superseded_by: Option<Ulid>,
}

impl SelectedBlocks {
    /// Opens the blocks in `dir` whose time `range` concerns. A block that vanishes meanwhile was
    /// deleted by Prometheus, and is left out.
    pub fn open(dir: &DataDir, range: TimeRange, mode: ReadMode) -> Self {
        let mut sources = SelectedBlocks::default();
        let mut readable = Vec::new();
        let mut failed = Vec::new();
        for entry in dir.blocks() {
            match open(entry, range, mode) {
                Ok((meta, block)) => {
                    readable.push(meta.kin(meta.ulid));
                    sources.blocks.extend(block);
                }
                Err(_) if !entry.path.exists() => {}
                Err(error) => failed.push((entry, error)),
            }
        }
        let readable = Succession::of(readable);
        let heir = |entry: &DirEntry| {
            let ulid = entry.ulid?;
            let meta = BlockFiles::scan(&entry.path).and_then(|files| read_meta(&files));
            let told = meta.ok().map(|meta| meta.kin(ulid));
            readable.heirs(ulid, told.as_ref()).into_iter().next()
        };
        let unreadable = failed.into_iter().map(|(entry, error)| UnreadableBlock {
            dir: entry.path.clone(),
            error,
            superseded_by: heir(entry),
        });
        sources.unreadable = unreadable.collect();
        sources
    }

    /// Whether samples may be missing from what these blocks give.
    pub fn are_incomplete(&self) -> bool {
        self.unreadable
            .iter()
            .any(|block| block.superseded_by.is_none())
    }
}

/// The metadata, and the block if it holds samples of the time asked for.
fn open(entry: &DirEntry, range: TimeRange, mode: ReadMode) -> Result<(Meta, Option<Block>)> {
    let meta = read_meta(&BlockFiles::scan(&entry.path)?)?;
    let concerned = range.overlaps_block(meta.min_time, meta.max_time);
    let block = if concerned {
        Some(Block::open(&entry.path, mode)?)
    } else {
        None
    };
    Ok((meta, block))
}
