//! A block laid out anew from some of its series: how long its files would be.

use crate::capacity::Costs;
use crate::chunk::{SEGMENT_HEADER, SEGMENT_LIMIT, SegmentLayout, record_len};
use crate::error::Result;
use crate::index::{Generation, Index, IndexLayout, SymbolRef};
use crate::model::{ChunkMeta, Millis};

use super::BlockAmounts;

/// Label name and value, as ordinals of symbols.
pub(super) type Label = (u32, u32);

/// A chunk that is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) min_time: Millis,
    pub(super) max_time: Millis,
    /// Bytes of data.
    pub(super) len: usize,
    pub(super) samples: u64,
}

/// A block whose series are added one by one.
pub(super) struct Layout {
    index: IndexLayout,
    segments: SegmentLayout,
    /// New ordinals of symbols by old ones.
    ranks: Vec<u32>,
    /// Series by label, in order.
    labels: Vec<(Label, u32)>,
    amounts: BlockAmounts,
    metas: Vec<ChunkMeta>,
    last_segment: Option<usize>,
}

impl Layout {
    /// A block that will have so many series with each of `labels`, which are sorted. Symbols that
    /// these do not use are left out.
    pub(super) fn new(index: &Index<'_>, costs: &Costs<'_>, labels: Vec<(Label, u32)>) -> Self {
        let symbols = costs.symbols();
        let mut used = vec![false; symbols.len()];
        for ((name, value), _) in &labels {
            for ordinal in [*name, *value] {
                if let Some(used) = used.get_mut(ordinal as usize) {
                    *used = true;
                }
            }
        }
        let mut next = 0;
        let rank = |used: &bool| {
            let rank = next;
            next += u32::from(*used);
            rank
        };
        let lengths = symbols.iter().zip(&used).filter(|(_, used)| **used);
        let lengths = lengths.map(|((_, string), _)| string.len());
        Layout {
            index: IndexLayout::new(Generation::of(&index.toc()), lengths),
            segments: SegmentLayout::new(SEGMENT_LIMIT),
            ranks: used.iter().map(rank).collect(),
            labels,
            amounts: BlockAmounts::default(),
            metas: Vec::new(),
            last_segment: None,
        }
    }

    /// Adds a series.
    ///
    /// # Errors
    ///
    /// As [`SegmentLayout::place`].
    pub(super) fn add(
        &mut self,
        labels: impl Iterator<Item = Label>,
        pieces: &[Piece],
    ) -> Result<()> {
        let places = self.segments.place(pieces.iter().map(|piece| piece.len))?;
        self.metas.clear();
        for (piece, reference) in pieces.iter().zip(places) {
            if self.last_segment != Some(reference.segment()) {
                self.last_segment = Some(reference.segment());
                self.amounts.chunk_bytes += SEGMENT_HEADER;
            }
            self.amounts.chunk_bytes += record_len(piece.len as u64);
            self.amounts.samples += piece.samples;
            self.metas.push(ChunkMeta {
                min_time: piece.min_time,
                max_time: piece.max_time,
                reference,
            });
        }
        let rank = |ordinal: u32| {
            let rank = self.ranks.get(ordinal as usize).copied();
            SymbolRef(rank.unwrap_or(ordinal))
        };
        let labels = labels.map(|(name, value)| (rank(name), rank(value)));
        self.index.add_series(labels, &self.metas);
        self.amounts.series += 1;
        Ok(())
    }

    /// What the block would hold.
    pub(super) fn finish(self, costs: &Costs<'_>) -> BlockAmounts {
        let symbols = costs.symbols();
        let len = |ordinal: u32| symbols.at(ordinal as usize).map_or(0, <[u8]>::len);
        let names = self.labels.chunk_by(|((a, _), _), ((b, _), _)| a == b);
        let names = names.map(|labels| {
            let name = labels.first().map_or(0, |((name, _), _)| len(*name));
            let values = labels.iter();
            let values = values.map(|((_, value), series)| (len(*value), u64::from(*series)));
            (name, values)
        });
        BlockAmounts {
            index_bytes: self.index.finish(names),
            ..self.amounts
        }
    }
}
