//! What is known of a server's past: blocks with their sizes, whoever listed them.

use std::collections::BTreeMap;

use crate::block::EntryKind;
use crate::inspect::{BlockListing, ListedBlock};
use crate::model::{Kin, KinContent, Millis, Stream, Ulid};

/// Longest range of a block that is believed, 366 days. Prometheus' own limit is 31 days;
/// compactors beside it stay below a year.
const LONGEST: Millis = 366 * 86_400_000;

/// A block that begins this much after the present is not believed: a clock was wrong.
const EARLY: Millis = 86_400_000;

/// A block of the past, present or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownBlock {
    /// Its identity.
    pub ulid: Ulid,
    /// Start of its range.
    pub min_time: Millis,
    /// End of its range, exclusive.
    pub max_time: Millis,
    /// Compaction level, from 1.
    pub level: u64,
    /// The level-1 blocks its samples come from; itself when none are named.
    pub sources: Vec<Ulid>,
    /// Which of their samples it holds.
    pub stream: Stream,
    /// Samples in it.
    pub samples: u64,
    /// Series in it.
    pub series: u64,
    /// Bytes of its segment files.
    pub chunk_bytes: u64,
    /// Bytes of its index.
    pub index_bytes: u64,
    /// Whether it is the head, of which no block has been cut yet: it says what is written now, and
    /// nothing of how blocks are cut.
    pub is_head: bool,
}

impl KnownBlock {
    /// What a listing says of a block.
    fn listed(block: &ListedBlock) -> Self {
        let meta = &block.meta;
        KnownBlock {
            ulid: meta.ulid,
            min_time: meta.min_time,
            max_time: meta.max_time,
            level: u64::try_from(meta.compaction.level).unwrap_or(0).max(1),
            sources: meta.compaction.sources.clone(),
            stream: meta.stream(),
            samples: meta.stats.num_samples,
            series: meta.stats.num_series,
            chunk_bytes: block.chunk_bytes,
            index_bytes: block.index_bytes,
            is_head: false,
        }
    }

    /// Bytes of segments and index; `meta.json` and tombstones, some hundred bytes, are not
    /// counted.
    pub fn bytes(&self) -> u64 {
        self.chunk_bytes.saturating_add(self.index_bytes)
    }

    /// Length of its range.
    pub fn duration(&self) -> Millis {
        self.max_time.saturating_sub(self.min_time)
    }

    /// Adds another part of the same sources.
    pub(super) fn take_in(&mut self, other: &KnownBlock) {
        self.min_time = self.min_time.min(other.min_time);
        self.max_time = self.max_time.max(other.max_time);
        self.level = self.level.max(other.level);
        for (sum, part) in [
            (&mut self.samples, other.samples),
            (&mut self.series, other.series),
            (&mut self.chunk_bytes, other.chunk_bytes),
            (&mut self.index_bytes, other.index_bytes),
        ] {
            *sum = sum.saturating_add(part);
        }
    }

    /// The level-1 blocks it stands for.
    pub(super) fn origins(&self) -> &[Ulid] {
        if self.sources.is_empty() {
            std::slice::from_ref(&self.ulid)
        } else {
            &self.sources
        }
    }

    /// What it is to other blocks.
    pub(super) fn kin(&self) -> Kin {
        let content = KinContent {
            series: self.series,
            samples: self.samples,
            ..KinContent::default()
        };
        let kin = Kin::new(self.ulid, &self.sources, Vec::new(), self.stream.clone());
        Kin { content, ..kin }
    }

    /// Why it cannot be part of a history, if it cannot.
    fn fault(&self, now: Option<Millis>) -> Option<String> {
        let (begin, end) = (self.min_time, self.max_time);
        if end <= begin {
            return Some(format!(
                "expected a range of time, found one from {begin} to {end}"
            ));
        }
        if self.duration() > LONGEST {
            return Some(format!(
                "expected a range of at most 366 days, found one from {begin} to {end}"
            ));
        }
        let late = now.is_some_and(|now| begin > now.saturating_add(EARLY));
        late.then(|| format!("expected a block of the past, found one that begins at {begin}"))
    }
}

/// What a data directory holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PresentUse {
    /// Bytes of its blocks.
    pub block_bytes: u64,
    /// Start of the earliest block; `None` without blocks.
    pub min_time: Option<Millis>,
    /// Bytes of WAL, checkpoint, WBL, head chunks and head snapshot, where there is a head; an
    /// archive has no head chunks.
    pub head_bytes: Option<u64>,
}

/// Something that should have been part of the past and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastGap {
    /// Its name.
    pub name: String,
    /// Why, as a sentence.
    pub reason: String,
}

/// Blocks of one server, and what its directory holds now. Blocks may be listed in any order; each
/// ULID counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    blocks: BTreeMap<Ulid, KnownBlock>,
    /// What the directory holds now, or held when it was last archived.
    pub present: PresentUse,
    /// What is damaged or cannot be true.
    pub left_out: Vec<PastGap>,
}

impl Past {
    /// Adds a block, unless its times cannot be true: then it is named in [`Past::left_out`].
    /// Aggregates say nothing of Prometheus' disk and are passed over. `now` is the time after
    /// which no block begins.
    pub fn add(&mut self, block: KnownBlock, name: impl Into<String>, now: Option<Millis>) {
        if self.blocks.contains_key(&block.ulid) || block.stream.is_aggregate() {
            return;
        }
        match block.fault(now) {
            Some(reason) => self.leave_out(name, reason),
            None => {
                self.blocks.insert(block.ulid, block);
            }
        }
    }

    /// Names something as left out, once.
    pub fn leave_out(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        let left_out = PastGap {
            name: name.into(),
            reason: reason.into(),
        };
        if !self.left_out.contains(&left_out) {
            self.left_out.push(left_out);
        }
    }

    /// Whether a block is part of it.
    pub fn has(&self, ulid: Ulid) -> bool {
        self.blocks.contains_key(&ulid)
    }

    /// The blocks, by ULID.
    pub fn blocks(&self) -> impl Iterator<Item = &KnownBlock> {
        self.blocks.values()
    }

    /// What the listing of one directory knows. Blocks that cannot be read, or lack files, are left
    /// out and named; so are those whose times cannot be true.
    pub fn of_listing(listing: &BlockListing, now: Option<Millis>) -> Self {
        let mut past = Past::default();
        for unreadable in &listing.unreadable {
            past.leave_out(unreadable.dir.display().to_string(), &unreadable.reason);
        }
        let mut head = None::<u64>;
        for other in &listing.others {
            let of_head = matches!(
                other.entry.kind,
                EntryKind::Wal | EntryKind::Wbl | EntryKind::ChunksHead | EntryKind::ChunkSnapshot
            );
            if of_head {
                head = Some(head.unwrap_or(0).saturating_add(other.bytes));
            }
        }
        past.present.head_bytes = head;
        for block in &listing.blocks {
            let bytes = block.index_bytes.saturating_add(block.chunk_bytes);
            past.present.block_bytes = past.present.block_bytes.saturating_add(bytes);
            let name = block.dir.display().to_string();
            if !block.missing.is_empty() {
                let missing = block.missing.join(" and ");
                past.leave_out(name, format!("expected {missing}, found none"));
                continue;
            }
            past.add(KnownBlock::listed(block), name, now);
        }
        past.present.min_time = past.blocks().map(|block| block.min_time).min();
        past
    }

    /// Adds the newest hours, of which no block has been cut yet, as the block that they would be
    /// now.
    pub fn add_head(&mut self, block: &ListedBlock, now: Option<Millis>) {
        let head = KnownBlock {
            is_head: true,
            ..KnownBlock::listed(block)
        };
        self.add(head, "head", now);
    }

    /// What was known when `time` had come: blocks that ended by then.
    #[must_use]
    pub fn until(&self, time: Millis) -> Self {
        let blocks = self.blocks.iter().filter(|(_, b)| b.max_time <= time);
        Past {
            blocks: blocks.map(|(ulid, block)| (*ulid, block.clone())).collect(),
            ..Past::default()
        }
    }

    /// Puts what two places know of one server together; the present is that of `self`.
    #[must_use]
    pub fn with_history_of(mut self, other: Past) -> Self {
        for (ulid, block) in other.blocks {
            self.blocks.entry(ulid).or_insert(block);
        }
        for left_out in other.left_out {
            self.leave_out(left_out.name, left_out.reason);
        }
        self
    }
}
