//! The blocks of an archive.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::entries::StoredBlock;

/// Blocks as a manifest lists them. Those that manifests of several nights describe alike may be
/// one in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blocks(Vec<Arc<StoredBlock>>);

impl Blocks {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One after the other, in the manifest's order.
    pub fn iter(&self) -> <&Self as IntoIterator>::IntoIter {
        self.into_iter()
    }

    /// The same, to be changed: see [`Blocks::iter_mut_where`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut StoredBlock> {
        self.iter_mut_where(|_| true)
    }

    /// Those of which `is_wanted` says so, to be changed. One that others share is theirs no more.
    pub fn iter_mut_where(
        &mut self,
        is_wanted: impl Fn(&StoredBlock) -> bool,
    ) -> impl Iterator<Item = &mut StoredBlock> {
        let wanted = self.0.iter_mut().filter(move |block| is_wanted(block));
        wanted.map(Arc::make_mut)
    }

    /// The one at this place.
    pub fn get(&self, place: usize) -> Option<&StoredBlock> {
        self.0.get(place).map(Arc::as_ref)
    }

    /// The first.
    pub fn first(&self) -> Option<&StoredBlock> {
        self.get(0)
    }

    /// The last.
    pub fn last(&self) -> Option<&StoredBlock> {
        self.0.last().map(Arc::as_ref)
    }

    /// Adds one behind the others.
    pub fn push(&mut self, block: StoredBlock) {
        self.0.push(Arc::new(block));
    }

    /// Keeps those of which `keeps` says so.
    pub fn retain(&mut self, mut keeps: impl FnMut(&StoredBlock) -> bool) {
        self.0.retain(|block| keeps(block));
    }

    pub(super) fn shared(&self) -> &[Arc<StoredBlock>] {
        &self.0
    }

    pub(super) fn of_shared(blocks: Vec<Arc<StoredBlock>>) -> Self {
        Blocks(blocks)
    }
}

impl<'a> IntoIterator for &'a Blocks {
    type Item = &'a StoredBlock;
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, Arc<StoredBlock>>,
        fn(&'a Arc<StoredBlock>) -> &'a StoredBlock,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(Arc::as_ref)
    }
}

impl FromIterator<StoredBlock> for Blocks {
    fn from_iter<I: IntoIterator<Item = StoredBlock>>(blocks: I) -> Self {
        Blocks(blocks.into_iter().map(Arc::new).collect())
    }
}

impl From<Vec<StoredBlock>> for Blocks {
    fn from(blocks: Vec<StoredBlock>) -> Self {
        blocks.into_iter().collect()
    }
}

impl std::ops::Index<usize> for Blocks {
    type Output = StoredBlock;

    #[allow(
        clippy::indexing_slicing,
        reason = "who indexes says that it is there, as with a Vec"
    )]
    fn index(&self, place: usize) -> &StoredBlock {
        &self.0[place]
    }
}

impl std::ops::IndexMut<usize> for Blocks {
    #[allow(
        clippy::indexing_slicing,
        reason = "who indexes says that it is there, as with a Vec"
    )]
    fn index_mut(&mut self, place: usize) -> &mut StoredBlock {
        Arc::make_mut(&mut self.0[place])
    }
}
