//! What two archives do not share.

use std::collections::BTreeMap;

use super::lineage::contradictions;
use super::{Archive, StoredBlock};
use crate::model::Ulid;

/// How a block differs between two archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the first archive has it.
    Removed,
    /// Only the second archive has it.
    Added,
    /// Both have it, with different `meta.json`, tombstones or other small files.
    Touched,
    /// Both have a block of this ULID, but index or chunks differ, which Prometheus never does.
    Replaced,
}

/// A block that two archives do not share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockChange {
    /// How it differs.
    pub change: Change,
    /// The block as in the second archive, or as in the first where it was removed.
    pub block: StoredBlock,
}

/// The difference between two archives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Blocks that they do not share, by time.
    pub changes: Vec<BlockChange>,
    /// How many blocks they share, file by file.
    pub shared: u64,
    /// Blocks of which both have the same index and chunks, and what the second says of them that
    /// the first contradicts.
    pub contradictions: Vec<(Ulid, String)>,
}

/// Compares the blocks of two archives, `a` being the first.
pub fn diff(a: &Archive, b: &Archive) -> Diff {
    let first: BTreeMap<Ulid, &StoredBlock> = by_ulid(a);
    let second = by_ulid(b);
    let removed = first
        .iter()
        .filter(|(ulid, _)| !second.contains_key(ulid))
        .map(|(_, block)| (Change::Removed, *block));
    let others = second
        .iter()
        .filter_map(|(ulid, block)| Some((compare(first.get(ulid).copied(), block)?, *block)));
    let mut changes: Vec<_> = removed
        .chain(others)
        .map(|(change, block)| BlockChange {
            change,
            block: block.clone(),
        })
        .collect();
    changes.sort_by_key(|c| (c.block.min_time, c.block.max_time, c.block.ulid));
    let shared = second
        .iter()
        .filter(|(ulid, block)| compare(first.get(ulid).copied(), block).is_none())
        .count() as u64;
    let contradictions = second.iter().filter_map(|(ulid, block)| {
        let found = contradictions(first.get(ulid)?, block);
        (!found.is_empty()).then(|| (*ulid, found.join("; ")))
    });
    Diff {
        changes,
        shared,
        contradictions: contradictions.collect(),
    }
}

fn by_ulid(archive: &Archive) -> BTreeMap<Ulid, &StoredBlock> {
    archive
        .blocks
        .iter()
        .map(|block| (block.ulid, block))
        .collect()
}

fn compare(old: Option<&StoredBlock>, new: &StoredBlock) -> Option<Change> {
    let Some(old) = old else {
        return Some(Change::Added);
    };
    let content = |block: &StoredBlock| -> Vec<_> {
        let mut files: Vec<_> = block
            .files
            .iter()
            .map(|file| (file.name.clone(), file.bytes, file.sha256))
            .collect();
        files.sort();
        files
    };
    if old.fingerprint != new.fingerprint {
        Some(Change::Replaced)
    } else if content(old) != content(new) {
        Some(Change::Touched)
    } else {
        None
    }
}
