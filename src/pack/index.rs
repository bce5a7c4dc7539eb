//! The proof that an index follows from labels and chunks.

use super::compare::Compare;
use super::labels::LabelRefs;
use crate::index::{Generation, IndexWriter};
use crate::model::ChunkMeta;

/// Rebuilds an index and compares it with its original.
#[derive(Debug)]
pub(super) struct IndexProof<'a, 's> {
    /// `None` as soon as something differs.
    index: Option<IndexWriter<'s, Compare<'a>, &'s [u8]>>,
    metas: Vec<ChunkMeta>,
}

impl<'a, 's> IndexProof<'a, 's> {
    /// Begins with the index `original`, whose symbols are `symbols`.
    pub(super) fn new(original: &'a [u8], generation: Generation, symbols: &'s [&'s [u8]]) -> Self {
        let out = Compare::new(original);
        IndexProof {
            index: IndexWriter::new(out, generation, symbols).ok(),
            metas: Vec::new(),
        }
    }

    /// Adds a series.
    pub(super) fn add(&mut self, labels: &LabelRefs, chunks: impl Iterator<Item = ChunkMeta>) {
        let Some(index) = &mut self.index else {
            return;
        };
        self.metas.clear();
        self.metas.extend(chunks);
        if index.add_series(labels, &self.metas).is_err() {
            self.index = None;
        }
    }

    /// Whether the rebuilt index is the original, to its last byte.
    pub(super) fn finish(self) -> bool {
        let out = self.index.and_then(|index| index.finish().ok());
        out.is_some_and(|out| out.is_complete())
    }
}
