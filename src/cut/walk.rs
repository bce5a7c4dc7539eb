//! Going through the series of a block that are wanted, and strictly: the first fault ends it.

use std::cell::Cell;

use super::chunks::{self, CutChunk, Fate};
use crate::block::Block;
use crate::error::{Error, InFile as _, Result};
use crate::index::SymbolRef;
use crate::model::ChunkMeta;
use crate::select::{Selection, SeriesCursor};

/// How often a block's chunks may be read, on average. Each has one reference in what Prometheus
/// writes; in a hostile index a few bytes of reference name a megabyte, a million times.
const PATIENCE: u64 = 2;

/// Stands at one series of a block.
pub(super) struct Walk<'a> {
    block: &'a Block,
    part: &'a Selection,
    cursor: SeriesCursor<'a>,
    /// Bytes of chunks that may still be read.
    patience: Cell<u64>,
}

impl<'a> Walk<'a> {
    /// Stands before the first series.
    pub(super) fn new(block: &'a Block, part: &'a Selection) -> Result<Self> {
        let cursor = SeriesCursor::open(block, block.index()?, &part.selectors, &[]);
        Ok(Walk {
            block,
            part,
            cursor: cursor.in_file(&block.files().index())?,
            patience: Cell::new(block.chunk_bytes().saturating_mul(PATIENCE)),
        })
    }

    /// Moves to the next series that is selected; `false` when there is none.
    pub(super) fn advance(&mut self) -> Result<bool> {
        match self.cursor.advance() {
            None => Ok(false),
            Some(Ok(_)) => Ok(true),
            Some(Err(unread)) => Err(unread.into_fault()).in_file(&self.block.files().index()),
        }
    }

    /// Labels of the series.
    pub(super) fn labels(&self) -> &[(SymbolRef, SymbolRef)] {
        &self.cursor.series().labels
    }

    /// What stays of the chunks of the series.
    pub(super) fn chunks(&self) -> Result<Vec<CutChunk<'a>>> {
        let mut kept = Vec::new();
        for chunk in &self.cursor.series().chunks {
            kept.extend(self.chunk(chunk)?);
        }
        Ok(kept)
    }

    /// Whether anything stays. Chunks are decoded only if none stays as it is.
    pub(super) fn has_samples(&self) -> Result<bool> {
        let fates = self
            .cursor
            .series()
            .chunks
            .iter()
            .map(|chunk| self.fate(chunk));
        if fates.clone().any(|fate| fate == Fate::Stays) {
            return Ok(true);
        }
        for (chunk, fate) in self.cursor.series().chunks.iter().zip(fates) {
            if fate == Fate::Trimmed && self.chunk(chunk)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fate(&self, chunk: &ChunkMeta) -> Fate {
        Fate::of(chunk, self.part, self.cursor.deleted())
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
        chunks::trim(&record, chunk, self.part, self.cursor.deleted()).map_err(|error| {
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
}
