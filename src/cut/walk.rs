//! Going through the series of a block that are wanted, and strictly: the first fault ends it.

use std::cell::Cell;
use std::collections::HashMap;

use super::chunks::{self, CutChunk, Fate};
use crate::block::Block;
use crate::error::{Error, InFile as _, Result};
use crate::index::{Index, Series, SymbolRef, Symbols};
use crate::model::{ChunkMeta, SeriesRef};
use crate::select::{Candidates, Filter, Interval, Selection, deleted_intervals};

/// How often a block's chunks may be read, on average. Each has one reference in what Prometheus writes; in a hostile index a few bytes
/// of reference name a megabyte, a million times.
const PATIENCE: u64 = 2;

/// Stands at one series of a block.
pub(super) struct Walk<'a> {
    block: &'a Block,
    part: &'a Selection,
    index: Index<'a>,
    symbols: Symbols<'a>,
    candidates: Candidates<'a>,
    filter: Filter<'a>,
    deleted: HashMap<SeriesRef, Vec<Interval>>,
    reference: SeriesRef,
    series: Series,
    /// Bytes of chunks that may still be read.
    patience: Cell<u64>,
}

impl<'a> Walk<'a> {
    /// Stands before the first series.
    pub(super) fn new(block: &'a Block, part: &'a Selection) -> Result<Self> {
        let index = block.index()?;
        let symbols = index.symbols().in_file(&block.files().index())?;
        Ok(Walk {
            block,
            part,
            candidates: Candidates::of(&index, &part.selectors),
            filter: Filter::new(&part.selectors, &symbols),
            deleted: deleted_intervals(block),
            index,
            symbols,
            reference: SeriesRef::default(),
            series: Series::default(),
            patience: Cell::new(block.chunk_bytes().saturating_mul(PATIENCE)),
        })
    }

    /// Moves to the next series that is selected; `false` when there is none.
    pub(super) fn advance(&mut self) -> Result<bool> {
        let path = self.block.files().index();
        while let Some(entry) = self.candidates.next(&self.index) {
            let entry = entry.in_file(&path)?;
            entry.check().in_file(&path)?;
            entry.decode(&mut self.series).in_file(&path)?;
            let selected = self
                .filter
                .selects(&self.series, &self.symbols, entry.offset);
            if selected.in_file(&path)? {
                self.reference = entry.reference;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Labels of the series.
    pub(super) fn labels(&self) -> &[(SymbolRef, SymbolRef)] {
        &self.series.labels
    }

    /// What stays of the chunks of the series.
    pub(super) fn chunks(&self) -> Result<Vec<CutChunk<'a>>> {
        let mut kept = Vec::new();
        for chunk in &self.series.chunks {
            kept.extend(self.chunk(chunk)?);
        }
        Ok(kept)
    }

    /// Whether anything stays. Chunks are decoded only if none stays as it is.
    pub(super) fn has_samples(&self) -> Result<bool> {
        let fates = self.series.chunks.iter().map(|chunk| self.fate(chunk));
        if fates.clone().any(|fate| fate == Fate::Stays) {
            return Ok(true);
        }
        for (chunk, fate) in self.series.chunks.iter().zip(fates) {
            if fate == Fate::Trimmed && self.chunk(chunk)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fate(&self, chunk: &ChunkMeta) -> Fate {
        Fate::of(chunk, self.part, self.deleted())
    }

    fn chunk(&self, chunk: &ChunkMeta) -> Result<Option<CutChunk<'a>>> {
        let fate = self.fate(chunk);
        if fate == Fate::Goes {
            return Ok(None);
        }
        let record = self.block.chunk(chunk.reference);
        let record = record.in_file(&self.block.segment_path(chunk.reference.segment()))?;
        self.spend(record.data.len() as u64)?;
        if fate == Fate::Stays {
            return Ok(Some(chunks::copy(&record, chunk)));
        }
        chunks::trim(&record, chunk, self.part, self.deleted()).map_err(|error| {
            let path = self.block.segment_path(chunk.reference.segment());
            error.context(path.display().to_string())
        })
    }

    fn spend(&self, bytes: u64) -> Result<()> {
        let left = self.patience.get().checked_sub(bytes).ok_or_else(|| {
            Error::corrupt(format!(
                "{}: expected one reference to each chunk, found many to the same ones",
                self.block.files().index().display()
            ))
        })?;
        self.patience.set(left);
        Ok(())
    }

    /// Deleted ranges of the series, sorted; none of them touch.
    fn deleted(&self) -> &[Interval] {
        self.deleted.get(&self.reference).map_or(&[], Vec::as_slice)
    }
}
