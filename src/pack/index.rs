//! An index from labels and chunks; and the proof that one follows from them.

use std::io::{self, Write};

use super::group::Unpacked;
use super::labels::{LabelIter, LabelRefs, Labels};
use crate::error::{Error, Result};
use crate::index::{Generation, IndexWriter};
use crate::model::{ChunkMeta, ChunkRef};

/// Rebuilds an index while groups are unpacked in their order.
#[derive(Debug)]
pub(super) struct IndexBuilder<'l, W> {
    index: IndexWriter<'l, W, Box<[u8]>>,
    labels: LabelIter<'l>,
    refs: LabelRefs,
    metas: Vec<ChunkMeta>,
}

impl<'l, W: Write> IndexBuilder<'l, W> {
    /// Begins an index of `generation` in `out`, of the series whose labels are `labels`.
    pub(super) fn new(out: W, generation: Generation, labels: &'l Labels) -> Result<Self> {
        Ok(IndexBuilder {
            index: IndexWriter::new(out, generation, labels.symbols())?,
            labels: labels.walk(),
            refs: Vec::new(),
            metas: Vec::new(),
        })
    }

    /// Adds the series of a group, whose chunks stand at `places`.
    ///
    /// # Errors
    ///
    /// When there are more series than labels, or as [`IndexWriter::add_series`].
    pub(super) fn add(
        &mut self,
        group: &Unpacked,
        places: &mut dyn Iterator<Item = ChunkRef>,
    ) -> Result<()> {
        let mut chunks = group.chunks.iter();
        for count in &group.series {
            let labels = self.labels.next(&mut self.refs);
            if !labels.map_err(|e| Error::new(e.kind(), "labels of the pack").with_source(e))? {
                return Err(Error::corrupt(
                    "expected as many series as labels, found more",
                ));
            }
            self.metas.clear();
            let placed = chunks.by_ref().take(*count).zip(&mut *places);
            self.metas
                .extend(placed.map(|(chunk, reference)| ChunkMeta {
                    min_time: chunk.min_time,
                    max_time: chunk.max_time,
                    reference,
                }));
            self.index.add_series(&self.refs, &self.metas)?;
        }
        Ok(())
    }

    /// Completes the index and hands `out` back.
    ///
    /// # Errors
    ///
    /// When labels are left over, or as [`IndexWriter::finish`].
    pub(super) fn finish(mut self) -> Result<W> {
        let left = self.labels.next(&mut self.refs);
        if left.map_err(|e| Error::new(e.kind(), "labels of the pack").with_source(e))? {
            return Err(Error::corrupt(
                "expected as many series as labels, found fewer",
            ));
        }
        self.index.finish()
    }
}

/// Rebuilds an index and compares it with its original.
#[derive(Debug)]
pub(super) struct IndexProof<'a, 'l>(
    /// `None` as soon as something differs.
    Option<IndexBuilder<'l, Compare<'a>>>,
);

impl<'a, 'l> IndexProof<'a, 'l> {
    pub(super) fn new(original: &'a [u8], generation: Generation, labels: &'l Labels) -> Self {
        let out = Compare { expected: original };
        IndexProof(IndexBuilder::new(out, generation, labels).ok())
    }

    /// Adds the series of a group, whose chunks stand at `places`.
    pub(super) fn add(&mut self, group: &Unpacked, places: &mut dyn Iterator<Item = ChunkRef>) {
        if self
            .0
            .as_mut()
            .is_some_and(|index| index.add(group, places).is_err())
        {
            self.0 = None;
        }
    }

    /// Whether the rebuilt index is the original, to its last byte.
    pub(super) fn finish(self) -> bool {
        let out = self.0.and_then(|index| index.finish().ok());
        out.is_some_and(|out| out.expected.is_empty())
    }
}

/// Compares what is written to it.
#[derive(Debug)]
struct Compare<'a> {
    expected: &'a [u8],
}

impl Write for Compare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.expected.split_at_checked(bytes.len()) {
            Some((same, rest)) if same == bytes => {
                self.expected = rest;
                Ok(bytes.len())
            }
            _ => Err(io::Error::other("the rebuilt index differs")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
