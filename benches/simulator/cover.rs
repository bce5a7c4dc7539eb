//! Which packs a new block refers to, and what of it has to be stored.

use std::collections::BTreeSet;

use narthex::model::{Millis, Ulid};

/// A pack, by its position among all packs of a repository.
pub(crate) type PackId = usize;

/// A block of the archive before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// The level-1 blocks whose samples it holds.
    pub(crate) sources: &'a [Ulid],
    /// The packs from which it is rebuilt, each of which holds samples of these sources only.
    pub(crate) packs: &'a [PackId],
    /// Where it begins.
    pub(crate) min_time: Millis,
}

/// How a block is put together.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cover {
    /// The packs to refer to, by time.
    pub(crate) packs: Vec<PackId>,
    /// The sources that none of them holds, to be stored as a new pack.
    pub(crate) unseen: Vec<Ulid>,
}

/// Covers a block of these `sources` with the packs of those `known` blocks that have nothing else
/// in them. Where two of them share a source, the larger one is taken.
pub(crate) fn cover(sources: &[Ulid], known: &[Known<'_>]) -> Cover {
    let mut missing: BTreeSet<Ulid> = sources.iter().copied().collect();
    let mut by_size: Vec<&Known<'_>> = known.iter().collect();
    by_size.sort_by_key(|block| std::cmp::Reverse(block.sources.len()));
    let mut taken = Vec::new();
    for block in by_size {
        if !block.sources.is_empty() && block.sources.iter().all(|source| missing.contains(source))
        {
            for source in block.sources {
                missing.remove(source);
            }
            taken.push(block);
        }
    }
    taken.sort_by_key(|block| block.min_time);
    Cover {
        packs: taken
            .iter()
            .flat_map(|block| block.packs)
            .copied()
            .collect(),
        unseen: missing.into_iter().collect(),
    }
}
