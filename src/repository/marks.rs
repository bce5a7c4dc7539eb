//! Whether two archives, or an archive and a directory, are of one server.

use std::collections::BTreeSet;

use super::{Archive, Fingerprint};
use crate::model::Ulid;

/// What blocks are known by.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Their ULIDs, and those of blocks they were made of.
    ulids: BTreeSet<Ulid>,
    /// The identities of their immutable parts: a Prometheus snapshot writes the same head under
    /// another ULID every time.
    pub(crate) fingerprints: BTreeSet<Fingerprint>,
}

impl Marks {
    /// Those of the blocks of `archive`.
    pub(crate) fn of_archive(archive: &Archive) -> Self {
        let mut marks = Marks::default();
        for block in &archive.blocks {
            let made_of = block.sources.iter().chain(&block.parents);
            marks.add(block.ulid, made_of.copied());
            // Blocks without series are all alike.
            if block.series > 0 {
                marks.fingerprints.insert(block.fingerprint.clone());
            }
        }
        marks
    }

    /// Adds the block `ulid`, and those it was made of.
    pub(crate) fn add(&mut self, ulid: Ulid, made_of: impl IntoIterator<Item = Ulid>) {
        self.ulids.insert(ulid);
        self.ulids.extend(made_of);
        // Says nothing.
        self.ulids.remove(&Ulid::ZERO);
    }

    /// Whether a block of one is among the blocks of the `other`, or was made of one of them.
    pub(crate) fn are_shared_by(&self, other: &Marks) -> bool {
        !self.ulids.is_disjoint(&other.ulids) || !self.fingerprints.is_disjoint(&other.fingerprints)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.ulids.is_empty() && self.fingerprints.is_empty()
    }
}
