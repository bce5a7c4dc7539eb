//! A block out of a block: only some series, only some time.
//!
//! [`cut_block`] does what Prometheus does when it compacts a block alone: deleted samples go for good, chunks of which every
//! sample stays are copied as they are, the others are decoded and encoded again, each into one chunk of the same
//! encoding. The new block is a level-1 block of its own: it names neither the old one nor its sources, so Prometheus
//! deletes nothing because of it, and whoever has both sees each sample once.
//!
//! Damage is an error: a block is cut whole or not at all.
//!
//! Memory: the chunks of one series; 20 bytes for each symbol that stays, and what
//! [`IndexWriter`](crate::index::IndexWriter) needs.

mod chunks;
mod merge;
mod walk;

pub use merge::{Merged, Unread, merge_blocks};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::block::{Block, BlockOptions, BlockWriter, Compaction, META_VERSION, Meta, Stats};
use crate::dump::Selector;
use crate::error::{Error, InFile as _, Result};
use crate::index::{Generation, SymbolRef};
use crate::model::{Millis, Ulid};
use walk::Walk;

/// What of a block is wanted.
#[derive(Clone, Debug)]
pub struct Part {
    /// First millisecond.
    pub since: Millis,
    /// Last millisecond, which still belongs to it.
    pub last: Millis,
    /// A series is wanted when any of these selects it; without any, all are.
    pub selectors: Vec<Selector>,
}

impl Part {
    /// What is of the time from `since` to `until`, exclusive, and selected by one of `selectors`, if there are any.
    /// [`Millis::MAX`] is no end.
    pub fn new(since: Millis, until: Millis, selectors: Vec<Selector>) -> Self {
        let last = match until {
            Millis::MAX => Millis::MAX,
            until => until.saturating_sub(1),
        };
        Part {
            since,
            last,
            selectors,
        }
    }

    /// Whether every sample of every block from `min_time` to `max_time` (exclusive) is wanted: such a block need not be cut.
    pub fn is_all_of(&self, min_time: Millis, max_time: Millis) -> bool {
        self.selectors.is_empty()
            && self.since <= min_time
            && max_time.saturating_sub(1) <= self.last
    }

    /// All of every block.
    pub fn all() -> Self {
        Part::new(Millis::MIN, Millis::MAX, Vec::new())
    }

    /// Whether samples from `first` to `last`, both included, of a series of these labels may be wanted.
    pub fn concerns(&self, labels: &[(&[u8], &[u8])], first: Millis, last: Millis) -> bool {
        let mut selectors = self.selectors.iter();
        let selected = self.selectors.is_empty() || selectors.any(|one| one.selects(labels));
        selected && self.overlaps(first, last)
    }

    /// Whether some of the time from `first` to `last`, both included, is wanted.
    pub fn overlaps(&self, first: Millis, last: Millis) -> bool {
        first <= self.last && last >= self.since
    }

    /// The part of the block that `meta` describes: samples outside a block's own range are found by no query, and a compaction
    /// drops them.
    fn within(&self, meta: &Meta) -> Part {
        Part {
            since: self.since.max(meta.min_time),
            last: self.last.min(meta.max_time.saturating_sub(1)),
            selectors: self.selectors.clone(),
        }
    }
}

/// Writes `part` of `block` as the block `ulid` into the directory `parent`, and returns the new block's directory; `None`, and
/// nothing is written, when no sample of `block` is wanted.
///
/// The new block's range is that of the old one, as far as it is wanted. Its index has the sections that the old one's
/// has. Compaction hints are kept, keys of others than Prometheus in `meta.json` are not.
///
/// # Errors
///
/// When something of what is wanted is damaged or of an unknown encoding, when the old block is one that the index writer
/// refuses (see [`BlockWriter::add_series`]), or when something cannot be written. No block appears then.
pub fn cut_block(block: &Block, part: &Part, parent: &Path, ulid: Ulid) -> Result<Option<PathBuf>> {
    let part = part.within(block.meta());
    if part.since > part.last {
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

/// The symbols of all series of which samples are wanted, in order; `None` when there is no such series.
fn used_symbols(block: &Block, part: &Part) -> Result<Option<Vec<SymbolRef>>> {
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

fn new_meta(old: &Meta, part: &Part, ulid: Ulid) -> Meta {
    Meta {
        ulid,
        min_time: part.since,
        max_time: part.last.saturating_add(1),
        stats: Stats::default(),
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
