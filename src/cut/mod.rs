//! A block out of a block: only some series, only some time.
//!
//! [`cut_block`] does what Prometheus does when it compacts a block alone: deleted samples go for
//! good, chunks of which every sample stays are copied as they are, the others are decoded and
//! encoded again, each into one chunk of the same encoding. The new block is a level-1 block of its
//! own: it names neither the old one nor its sources, so Prometheus deletes nothing because of it,
//! and whoever has both sees each sample once.
//!
//! Damage is an error: a block is cut whole or not at all.
//!
//! Memory: the chunks of one series; 20 bytes for each symbol that stays, and what
//! [`IndexWriter`](crate::index::IndexWriter) needs.
//!
//! ```
//! use narthex::block::Block;
//! use narthex::cut::cut_block;
//! use narthex::model::{Millis, Ulid};
//! use narthex::raw::ReadMode;
//! use narthex::select::Selection;
//!
//! let dir = "fixtures/night-1/01M80FJGSDDJPV4DWFG2XR4VJ2";
//! let block = Block::open(dir.as_ref(), ReadMode::Map)?;
//! let up = Selection::new(Millis::MIN, Millis::MAX, vec!["up".parse()?]);
//! let target = tempfile::tempdir().map_err(|e| narthex::Error::io("make", dir.as_ref(), e))?;
//! let cut = cut_block(&block, &up, target.path(), Ulid::generate())?.expect("a block with series");
//! let cut = Block::open(&cut, ReadMode::Map)?;
//! assert!(cut.meta().stats.num_series < block.meta().stats.num_series);
//! # Ok::<(), narthex::Error>(())
//! ```

mod chunks;
mod merge;
mod walk;

pub use merge::{Merged, Unread, merge_blocks};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::block::{Block, BlockOptions, BlockStats, BlockWriter, Compaction, META_VERSION, Meta};
use crate::error::{Error, InFile as _, Result};
use crate::index::{Generation, SymbolRef};
use crate::model::Ulid;
use crate::select::Selection;
use walk::Walk;

/// Writes `part` of `block` as the block `ulid` into the directory `parent`, and returns the new
/// block's directory; `None`, and nothing is written, when no sample of `block` is wanted.
///
/// The new block's range is that of the old one, as far as it is wanted. Its index has the sections
/// that the old one's has. Compaction hints are kept, keys of others than Prometheus in `meta.json`
/// are not.
///
/// # Errors
///
/// When something of what is wanted is damaged or of an unknown encoding, when the old block is one
/// that the index writer refuses (see [`BlockWriter::add_series`]), or when something cannot be
/// written. No block appears then.
pub fn cut_block(
    block: &Block,
    part: &Selection,
    parent: &Path,
    ulid: Ulid,
) -> Result<Option<PathBuf>> {
    let part = part.within(block.meta());
    if part.range.is_empty() {
        return Ok(None);
    }
    let Some(used) = used_symbols(block, &part)? else {
        return Ok(None);
    };
    let index = block.index()?;
    let table = index.symbols().in_file(&block.files().index())?;
    let symbols = used
        .iter()
        .map(|symbol| table.get(*symbol, index.toc().symbols))
        .collect::<Result<Vec<_>, _>>()
        .in_file(&block.files().index())?;
    let options = BlockOptions {
        generation: Generation::of(&index.toc()),
        ..BlockOptions::default()
    };
    let meta = new_meta(block.meta(), &part, ulid);
    let mut writer = BlockWriter::create(parent, meta, &symbols, options)?;
    let mut walk = Walk::new(block, &part)?;
    let mut labels = Vec::new();
    while walk.advance()? {
        let chunks = walk.chunks()?;
        if chunks.is_empty() {
            continue;
        }
        labels.clear();
        for (name, value) in walk.labels() {
            labels.push((position(&used, *name)?, position(&used, *value)?));
        }
        writer.add_series(&labels, &chunks)?;
    }
    writer.finish().map(Some)
}

/// The symbols of all series of which samples are wanted, in order; `None` when there is no such
/// series.
fn used_symbols(block: &Block, part: &Selection) -> Result<Option<Vec<SymbolRef>>> {
    let mut used = BTreeSet::new();
    let mut any = false;
    let mut walk = Walk::new(block, part)?;
    while walk.advance()? {
        if walk.has_samples()? {
            any = true;
            let labels = walk.labels().iter();
            used.extend(labels.flat_map(|(name, value)| [*name, *value]));
        }
    }
    Ok(any.then(|| used.into_iter().collect()))
}

/// Where `symbol` stands among those that are `used`.
fn position(used: &[SymbolRef], symbol: SymbolRef) -> Result<SymbolRef> {
    let found = used.binary_search(&symbol).ok();
    found
        .and_then(|position| u32::try_from(position).ok())
        .map(SymbolRef)
        .ok_or_else(|| Error::corrupt("expected the same labels when read again, found others"))
}

fn new_meta(old: &Meta, part: &Selection, ulid: Ulid) -> Meta {
    Meta {
        ulid,
        min_time: part.range.since,
        max_time: part.range.until,
        stats: BlockStats::default(),
        compaction: Compaction {
            level: 1,
            sources: vec![ulid],
            hints: old.compaction.hints.clone(),
            ..Compaction::default()
        },
        version: META_VERSION,
        extra: serde_json::Map::new(),
    }
}
