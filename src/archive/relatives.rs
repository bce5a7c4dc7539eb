//! Which packs are likely to hold samples of a block of the source. Nothing here reads or writes.

use std::collections::BTreeSet;

use super::plan::Known;
use super::survey::BlockSurvey;
use crate::repository::StoredObject;
use crate::stored::write::Descent;

impl Known {
    /// Packs that may hold samples of `block`, in order of time.
    pub(super) fn relatives(&self, block: &BlockSurvey) -> Vec<StoredObject> {
        let Some(meta) = &block.meta else {
            return Vec::new();
        };
        let sources = &meta.compaction.sources;
        let descent = Descent {
            ulid: block.ulid(),
            atoms: match sources.as_slice() {
                [] => BTreeSet::from([block.ulid()]),
                sources => sources.iter().copied().collect(),
            },
            parents: block.parents().into_iter().collect(),
            range: (meta.min_time, meta.max_time),
        };
        descent.relatives(self.held())
    }
}
